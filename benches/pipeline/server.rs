//! The local Firestore as a process of its own, so that its memory and time are its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

pub struct Server {
    child: Child,
    address: String,
    meter: String,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    pub fn start(durable: bool) -> Result<Self> {
        let folder = durable.then(tempfile::tempdir).transpose()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_f0-learning"));
        command.args(["firestore", "--addr", "127.0.0.1:0"]).stdout(Stdio::piped());
        if let Some(folder) = &folder {
            command.arg("--data").arg(folder.path());
        }
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        let addresses: Vec<_> = line
            .split(|symbol: char| symbol.is_whitespace() || symbol == '/' || symbol == ';')
            .filter(|word| word.starts_with("127.0.0.1:"))
            .map(str::to_owned)
            .collect();
        // What it prints at its end must find a reader.
        std::thread::spawn(move || stdout.lines().for_each(drop));
        match &addresses[..] {
            [address, meter] => {
                Ok(Self { child, address: address.clone(), meter: meter.clone(), _folder: folder })
            }
            _ => Err(format!("the server said {line:?}").into()),
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Billed reads, writes and deletes so far.
    pub async fn billed(&self) -> Result<[u64; 3]> {
        let mut stream = TcpStream::connect(&self.meter).await?;
        let request =
            format!("GET /meter HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.meter);
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let body = response.split("\r\n\r\n").nth(1).ok_or("no body")?;
        let bill: serde_json::Value = serde_json::from_str(body)?;
        let read = |name: &str| bill["total"][name].as_u64().ok_or("no total");
        Ok([read("reads")?, read("writes")?, read("deletes")?])
    }

    pub fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where a benchmark failed midway; after `stop` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
