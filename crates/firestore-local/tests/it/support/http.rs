//! Calls of the server's HTTP interface.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Local;

/// Makes a request that must succeed; returns the body.
pub async fn http(local: &Local, method: &str, path: &str, body: &str) -> String {
    let (status, body) = exchange(local, method, path, body).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Makes a request; returns the status and the body.
pub async fn exchange(local: &Local, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(local.server.meter_addr()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
    (status, body.to_owned())
}
