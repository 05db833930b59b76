//! The local Firestore as a separate process, so that its memory and CPU time are measured apart.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use firestore_local::{Billed, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::cost::Cost;
use crate::process::{BINARY, Process};

pub struct Server {
    process: Process,
    address: String,
    meter: String,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    pub fn start(durable: bool) -> Result<Self> {
        let folder = durable.then(tempfile::tempdir).transpose()?;
        let mut command = Command::new(BINARY);
        command.args(["firestore", "--addr", "127.0.0.1:0"]).stdout(Stdio::piped());
        if let Some(folder) = &folder {
            command.arg("--data").arg(folder.path());
        }
        let mut process = Process::spawn(&mut command)?;
        let mut line = String::new();
        let stdout = process.0.stdout.take().ok_or("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        let addresses: Vec<_> = line
            .split(|symbol: char| symbol.is_whitespace() || symbol == '/' || symbol == ';')
            .filter(|word| word.starts_with("127.0.0.1:"))
            .map(str::to_owned)
            .collect();
        // The process would fail to print its last lines without a reader.
        std::thread::spawn(move || stdout.lines().for_each(drop));
        match &addresses[..] {
            [address, meter] => {
                let (address, meter) = (address.clone(), meter.clone());
                Ok(Self { process, address, meter, _folder: folder })
            }
            _ => Err(format!("expected two addresses, the server printed {line:?}").into()),
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Billed reads, writes and deletes so far.
    pub async fn billed(&self) -> Result<Cost> {
        let (_, body) = http(&self.meter, "GET", "/meter", "").await?;
        let bill: serde_json::Value = serde_json::from_str(&body)?;
        let read = |name: &str| bill["total"][name].as_u64().ok_or("no total");
        let (reads, writes) = (read("reads")?, read("writes")?);
        Ok(Billed { reads, writes, deletes: read("deletes")? }.into())
    }

    /// Injects these faults from now on.
    pub async fn set_faults(&self, plan: &Plan) -> Result<()> {
        match http(&self.meter, "PUT", "/faults", &serde_json::to_string(plan)?).await? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("cannot set the faults: {status}: {body}").into()),
        }
    }

    pub fn stop(mut self) -> Result<()> {
        self.process.kill()
    }
}

/// Sends a request with a JSON body; gives the status and body of the response.
pub async fn http(address: &str, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no body")?;
    let status = head.split_whitespace().nth(1).ok_or("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
