//! Clients that try to wear the API down: slow ones, idle ones, too many, and pages that point their
//! own name at it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use f0_learning::http::{AdminToken, Credentials, Limits};
use reqwest::Method;
use reqwest::header::HOST;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http::{Service, TOKEN, answer};
use crate::support::seeded_store;

/// Far longer than the limits below, far shorter than the default ones.
const SOON: Duration = Duration::from_secs(5);

fn short() -> Limits {
    let moment = Duration::from_millis(300);
    Limits { head: moment, body: moment, stall: moment, ..Limits::default() }
}

async fn service(limits: Limits) -> Service {
    let token = AdminToken::new(TOKEN.to_owned()).unwrap();
    Service::start_within(&seeded_store().await, Some(Credentials::token(token)), limits).await
}

/// Whatever the server sends until it closes the connection, which it must do soon.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset also ends a connection.
    let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the connection is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a text byte by byte until the server closes the connection, which it must do soon.
async fn trickle(stream: &mut TcpStream, text: &str) -> String {
    let (mut reader, mut writer) = stream.split();
    let send = async {
        for byte in text.bytes().cycle() {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let receive = reader.read_to_end(&mut bytes);
    tokio::select! {
        _ = timeout(SOON, receive) => {}
        () = send => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn is_alive(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text.starts_with("HTTP/1.1 200"))
    };
    matches!(timeout(SOON, ask).await, Ok(Ok(true)))
}

#[tokio::test]
async fn a_head_that_arrives_too_slowly_ends_the_connection() {
    let service = service(short()).await;
    let mut silent = TcpStream::connect(service.address()).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
    assert!(!rest(&mut silent).await.contains("200"));

    let mut slow = TcpStream::connect(service.address()).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(!trickle(&mut slow, "a").await.contains("200"));
    assert!(began.elapsed() < SOON, "bytes now and then must not extend the time");
}

#[tokio::test]
async fn the_second_request_of_a_connection_must_arrive_in_time_too() {
    let service = service(short()).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream.write_all(b"GET /hea").await.unwrap();
    assert!(!rest(&mut stream).await.contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_arrives_too_slowly_is_refused() {
    let service = service(short()).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    let head = format!(
        "POST /ops/flags HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answered = trickle(&mut stream, " ").await;
    assert!(answered.starts_with("HTTP/1.1 408"), "{answered}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_that_is_used_in_time_is_not() {
    let idle = Duration::from_millis(600);
    let service = service(Limits { idle, head: Duration::from_millis(100), ..short() }).await;
    let mut unused = TcpStream::connect(service.address()).await.unwrap();
    let mut used = TcpStream::connect(service.address()).await.unwrap();
    for _ in 0..4 {
        used.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut first = [0; 15];
        used.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let mut more = [0; 4_096];
        let _ = used.read(&mut more).await.unwrap();
        tokio::time::sleep(idle / 2).await;
    }
    assert_eq!(rest(&mut unused).await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_is_cut_off() {
    let service = service(short()).await;
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    // Pipelined requests whose responses fill every buffer on the way.
    let one = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let flood = async {
        loop {
            if stream.write_all(one.repeat(50).as_bytes()).await.is_err() {
                return;
            }
        }
    };
    timeout(2 * SOON, flood).await.expect("the connection is closed");
    assert!(is_alive(service.address()).await);
}

#[tokio::test]
async fn probes_are_answered_while_hundreds_of_connections_are_idle() {
    // Below 1,024 file descriptors, which is all that many systems allow; `.ci/image` has a thousand.
    let service = service(Limits { connections: 50, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for n in 0..600 {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        }
        idle.push(stream);
        if n % 100 == 99 {
            assert!(is_alive(service.address()).await, "after {n}");
        }
    }
    service.get("/ops/flags").await.ok();
    let (mut open, mut byte) = (0, [0]);
    for stream in &mut idle {
        let closed = timeout(Duration::from_millis(1), stream.read(&mut byte)).await.is_ok();
        open += usize::from(!closed);
    }
    assert!((25..=50).contains(&open), "{open} of 600 are still open");
}

#[tokio::test]
async fn probes_are_answered_while_all_connections_are_busy_and_other_requests_are_not() {
    let limits = Limits { connections: 10, reserve: 2, ..Limits::default() };
    let service = service(limits).await;
    let mut busy = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        let head = format!(
            "POST /ops/flags HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: 10\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        busy.push(stream);
    }
    // Their heads have arrived once a request gets no ordinary place.
    let mut answered = service.get("/ops/flags").await;
    for _ in 0..100 {
        if answered.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answered = service.get("/ops/flags").await;
    }
    assert!(answered.retry_after.is_some(), "{answered:?}");
    assert!(answered.problem(503).contains("connections"));
    for _ in 0..20 {
        assert!(is_alive(service.address()).await);
    }
    drop(busy);
    tokio::time::sleep(Duration::from_millis(100)).await;
    service.get("/ops/flags").await.ok();
}

#[tokio::test]
async fn readyz_names_documents_only_to_callers_who_may_read_them() {
    let service = service(Limits::default()).await;
    let damaged = BTreeMap::from([("ops_state/series|secret-arm".to_owned(), "format 99".into())]);
    service.health.set_damaged("score", &damaged);
    service.health.set_irregular_policies(vec!["secret-policy has no active version".to_owned()]);
    service.health.pass_failed("tune", &"cannot read config/tuning secret-policy");
    let ask = async |token: Option<&str>| {
        let request = service.request(Method::GET, "/readyz");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        answer(request).await
    };
    for token in [None, Some("wrong")] {
        let shown = ask(token).await;
        assert_eq!(shown.status, 503);
        assert!(!shown.body.to_string().contains("secret"), "{shown:?}");
        assert_eq!(
            (&shown.body["policiesToRepair"], &shown.body["damagedDocuments"]),
            (&json!(1), &json!(1))
        );
        let detail = shown.body["detail"].as_str().unwrap();
        assert!(detail.contains("the last pass failed: tune"), "{detail}");
    }
    let shown = ask(Some(TOKEN)).await.body;
    assert!(shown["damaged"][0].as_str().unwrap().contains("secret-arm"), "{shown}");
    assert!(shown["policies"][0].as_str().unwrap().contains("secret-policy"), "{shown}");
    assert!(shown["detail"].as_str().unwrap().contains("config/tuning"), "{shown}");
}

#[tokio::test]
async fn what_needs_no_credential_is_not_shown_to_a_page_that_rebinds_its_name() {
    let service = service(Limits::default()).await;
    for path in ["/readyz", "/metrics", "/openapi.json"] {
        let ask = |host: &str| service.request(Method::GET, path).header(HOST, host);
        let refused = answer(ask("evil.example:8080")).await;
        assert!(refused.problem(421).contains("ALLOWED_HOSTS"), "{path}");
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080"] {
            let status = ask(host).send().await.unwrap().status();
            assert_ne!(status, 421, "{path} {host}");
        }
    }
    // Probes of a load balancer carry whatever name it likes, and learn nothing.
    let alive = answer(service.request(Method::GET, "/healthz").header(HOST, "any.example")).await;
    assert_eq!((alive.status, alive.body), (200, Value::String("ok".to_owned())));
}
