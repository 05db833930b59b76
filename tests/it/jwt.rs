//! Tokens as an issuer signs them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::{hmac, signature};
use serde_json::{Value, json};

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A token signed with RS256 by a private key in PEM.
pub fn sign(claims: &Value, kid: &str, pem: &str) -> String {
    sign_with(&json!({ "typ": "JWT", "alg": "RS256", "kid": kid }), claims, pem)
}

/// The same with any header.
pub fn sign_with(header: &Value, claims: &Value, pem: &str) -> String {
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = KeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap();
    let message = unsigned(header, claims);
    let mut signed = vec![0; key.public().modulus_len()];
    let padding = &signature::RSA_PKCS1_SHA256;
    key.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signed).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
}

/// A token signed with HS256 by a shared secret.
pub fn sign_hs256(claims: &Value, kid: &str, secret: &str) -> String {
    let message = unsigned(&json!({ "typ": "JWT", "alg": "HS256", "kid": kid }), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
}
