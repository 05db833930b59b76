//! What a browser does with pages: it keeps a cookie, follows links and sends forms.

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;

use crate::support::http::{Service, TOKEN};

/// A browser without scripts.
pub struct Browser<'a> {
    service: &'a Service,
    client: reqwest::Client,
    pub cookie: Option<String>,
}

/// A response.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub html: String,
}

/// The fields of a form.
pub type Form = Vec<(String, String)>;

impl<'a> Browser<'a> {
    pub fn new(service: &'a Service) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { service, client, cookie: None }
    }

    /// A browser in which someone logged in with a token.
    pub async fn with_token(service: &'a Service, token: &str) -> Self {
        let mut browser = Self::new(service);
        let answer = browser.log_in(token).await;
        assert_eq!(answer.status, 303, "{}", answer.html);
        browser
    }

    pub async fn admin(service: &'a Service) -> Self {
        Self::with_token(service, TOKEN).await
    }

    pub async fn log_in(&mut self, token: &str) -> Page {
        let form = [("token", token), ("name", "Ada")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let answer = self.post("/login", &form).await;
        if let Some(cookie) = answer.headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(cookie.to_owned());
        }
        answer
    }

    pub async fn get(&self, path: &str) -> Page {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Page {
        self.send(self.client.get(self.url(path)), headers).await
    }

    /// A page that must be there.
    pub async fn ok(&self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.html);
        page.html
    }

    pub async fn post(&self, path: &str, form: &[(String, String)]) -> Page {
        let origin = self.url("");
        self.post_with(path, form, &[("origin", &origin)]).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        form: &[(String, String)],
        headers: &[(&str, &str)],
    ) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(self.url(path)).body(body);
        self.send(request.header("content-type", "application/x-www-form-urlencoded"), headers)
            .await
    }

    /// Opens the page that confirms a change, and sends its form with a reason.
    pub async fn decide(&self, confirmation: &str, reason: &str) -> Page {
        let html = self.ok(confirmation).await;
        let mut form = hidden(&html);
        form.push(("reason".to_owned(), reason.to_owned()));
        let path = action(&html);
        self.post(&path, &form).await
    }

    /// The open connection of a request, whose body is read piece by piece.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(self.url(path));
        request.header("cookie", self.cookie.clone().unwrap()).send().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.address())
    }

    async fn send(&self, request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> Page {
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Page { status, headers, html: response.text().await.unwrap() }
    }
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The tags of a name, as they are written.
pub fn tags<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}");
    let starts = html.match_indices(&open).map(|(at, _)| &html[at..]);
    let is_name = |rest: &&str| rest[open.len()..].starts_with([' ', '>']);
    starts.filter(is_name).map(|rest| &rest[..=rest.find('>').unwrap()]).collect()
}

pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next().unwrap();
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

/// The part of a page with the form of a change.
fn decision(html: &str) -> &str {
    let (_, form) = html.split_once("<form class=\"decide\"").unwrap();
    form.split("</form>").next().unwrap()
}

/// The hidden fields of the form of a change.
pub fn hidden(html: &str) -> Form {
    let inputs = tags(decision(html), "input").into_iter();
    let hidden = inputs.filter(|it| it.contains("type=\"hidden\""));
    hidden.map(|it| (attribute(it, "name").unwrap(), attribute(it, "value").unwrap())).collect()
}

fn action(html: &str) -> String {
    let form = format!("<form{}", decision(html));
    attribute(&form, "action").unwrap()
}
