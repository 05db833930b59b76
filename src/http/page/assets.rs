//! The files that pages refer to, compiled into the binary. Those of others are copies:
//! `assets/SHA256SUMS` has the sum of each.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file, and its path with a part of its sum: a changed file has another path, so that browsers may
/// keep what they have.
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "page.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("assets/page.css"),
    },
    Asset {
        name: "page.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("assets/page.js"),
    },
    Asset {
        name: "htmx.min.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("assets/htmx.min.js"),
    },
];

static PATHS: LazyLock<[String; 3]> = LazyLock::new(|| {
    ASSETS.each_ref().map(|it| {
        let sum = hex::encode(&Sha256::digest(it.content)[..6]);
        format!("/page/assets/{}?{sum}", it.name)
    })
});

/// The paths of the style sheet, of our script and of htmx.
pub fn paths() -> [&'static str; 3] {
    PATHS.each_ref().map(String::as_str)
}

pub async fn serve(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|it| it.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMS: &str = include_str!("assets/SHA256SUMS");
    const HTMX_LICENSE: &str = include_str!("assets/htmx.LICENSE");

    #[test]
    fn copied_files_are_those_whose_sums_were_recorded() {
        let copies = [("htmx.min.js", ASSETS[2].content), ("htmx.LICENSE", HTMX_LICENSE)];
        let sums: String = copies
            .iter()
            .map(|(name, content)| format!("{}  {name}\n", hex::encode(Sha256::digest(content))))
            .collect();
        assert_eq!(SUMS, sums);
        assert!(HTMX_LICENSE.starts_with("Zero-Clause BSD"));
    }

    #[test]
    fn assets_name_no_other_host() {
        for asset in ASSETS {
            for scheme in ["http:", "https:", "url(", "@import", "//cdn"] {
                assert!(!asset.content.contains(scheme), "{scheme} in {}", asset.name);
            }
        }
    }
}
