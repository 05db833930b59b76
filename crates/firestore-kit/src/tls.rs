//! The one TLS stack of all clients.

/// Makes *ring* the process's provider of cryptography for TLS, if there is none yet. Every client
/// that speaks TLS must call this before it is built: the crates it is made of choose no provider.
pub fn install_provider() {
    // An error says that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
