//! The program `firestore-local` as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Client;

/// A running program; killed where a test ends before it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub address: String,
}

impl Program {
    /// Starts it on a free port, with a folder or in memory.
    pub fn start(data: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
        command.args(["--addr", "127.0.0.1:0"]);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        Self::of(command).expect("the program starts")
    }

    /// Starts it in a folder after commands of the shell, which sees the folder as `$D`.
    pub fn after(preparation: &str, data: &Path) -> Result<Self, String> {
        let run = format!("{preparation}; exec \"$P\" --addr 127.0.0.1:0 --data \"$D\"");
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", &run]);
        command.env("P", env!("CARGO_BIN_EXE_firestore-local")).env("D", data);
        Self::of(command)
    }

    /// Starts it, or gives what it said where it does not start.
    pub fn of(mut command: Command) -> Result<Self, String> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut program = Self { child: child.expect("a process"), address: String::new() };
        let mut line = String::new();
        let output = program.child.stdout.as_mut().expect("piped");
        // Not buffered beyond the line: the rest is read at the end.
        let mut byte = [0];
        while output.read(&mut byte).expect("readable") == 1 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        if let Some(address) = line.strip_prefix("listening on ") {
            address.split(';').next().unwrap_or_default().clone_into(&mut program.address);
            return Ok(program);
        }
        let mut said = String::new();
        program.child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert!(!program.child.wait().expect("it ended").success(), "{said}");
        Err(said)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address, "demo-tests").await
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// SIGTERM; gives what it said at the end.
    pub fn terminate(mut self) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let mut output = BufReader::new(self.child.stdout.take().expect("piped"));
        let mut said = String::new();
        while output.read_line(&mut said).expect("readable") > 0 {}
        assert!(self.child.wait().expect("it ended").success());
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
