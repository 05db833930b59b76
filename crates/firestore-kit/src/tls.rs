//! The one TLS stack of all clients: rustls with *ring*, and the system's roots.
//!
//! The roots are those that OpenSSL would use: the bundle of the system, or what `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name. So one setting adds a private root to every client of the process, also to
//! those inside of Google's libraries.

use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// Makes *ring* the process's provider of cryptography for TLS, if there is none yet. Every client
/// that speaks TLS must call this before it is built: the crates it is made of choose no provider.
pub fn install_provider() {
    // An error says that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Long enough for a handshake over a slow link; a firewall that drops packets is reported soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection through a NAT gateway is forgotten after some minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A channel to a Google API at `https://HOST`, connected.
///
/// # Errors
/// One line that says what failed: the roots, the address, the connection or the handshake.
pub(crate) async fn google_channel(url: &'static str) -> Result<Channel, String> {
    install_provider();
    check_roots()?;
    let endpoint = Endpoint::from_static(url)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Some(KEEP_ALIVE))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tls_config(ClientTlsConfig::new().with_native_roots())
        .map_err(|error| chain(&error))?;
    endpoint.connect().await.map_err(|error| format!("{url}: {}", chain(&error)))
}

/// Without any root every handshake fails, and some clients panic when they are built.
fn check_roots() -> Result<(), String> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "cannot load a TLS root certificate");
    }
    match loaded.certs.is_empty() {
        false => Ok(()),
        true => Err("no TLS root certificates: install the package ca-certificates, or set \
                     SSL_CERT_FILE to a PEM file"
            .to_owned()),
    }
}

/// An error with its causes: the outermost is only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = cause.source();
    }
    text
}
