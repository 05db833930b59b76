//! The `Host` of a request: the defence against DNS rebinding.
//!
//! A page in a browser can make its own domain name resolve to 127.0.0.1 and then read what a local
//! server answers. Its requests carry the page's domain name as `Host`, so that a server for this
//! machine refuses every name that does not mean this machine.

use std::net::IpAddr;

/// Whether a `Host` header, with or without a port, names this machine: `localhost`, a name below
/// it, or a loopback address.
pub fn is_loopback_host(host: &str) -> bool {
    let name = without_port(host);
    address(name).is_some_and(|address| address.is_loopback()) || is_localhost(name)
}

/// Whether a `Host` header holds an IP address. No domain name stands behind it, so that no page can
/// have redirected it.
pub(crate) fn is_address(host: &str) -> bool {
    address(without_port(host)).is_some()
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn address(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback_hosts() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "localhost.",
            "app.localhost:80",
            "127.0.0.1:8081",
            "127.9.9.9",
            "[::1]:8081",
            "[::1]",
            "::1",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "notlocalhost",
            "192.168.0.7:8081",
            "0.0.0.0:8081",
            "[fe80::1]:8081",
            "127.0.0.1@evil",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
        assert!(is_address("192.168.0.7:8081"));
        assert!(!is_address("127.0.0.1.nip.io:8081"));
    }
}
