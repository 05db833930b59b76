//! The program `firestore-local` as a separate process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Client;

/// A running program, which is killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub address: String,
}

impl Program {
    /// Starts it on a free port, with a data folder or in memory.
    pub fn start(data: Option<&Path>) -> Self {
        let data = data.map(|data| ["--data".as_ref(), data.as_os_str()]);
        Self::try_start(data.into_iter().flatten()).expect("the program starts")
    }

    /// Starts it on a free port with further arguments; returns its error output if it does not
    /// start.
    pub fn try_start(
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
        command.args(["--addr", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command)
    }

    /// Starts it with a data folder after shell commands, which see the folder as `$D`; returns its
    /// error output if it does not start.
    pub fn start_after(preparation: &str, data: &Path) -> Result<Self, String> {
        let run = format!("{preparation}; exec \"$P\" --addr 127.0.0.1:0 --data \"$D\"");
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", &run]);
        command.env("P", env!("CARGO_BIN_EXE_firestore-local")).env("D", data);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self, String> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut program = Self { child: child.expect("a process"), address: String::new() };
        let mut line = String::new();
        let output = program.child.stdout.as_mut().expect("piped");
        // Reads only the first line, without buffering: the rest is read at the end.
        let mut byte = [0];
        while output.read(&mut byte).expect("readable") == 1 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        if let Some(address) = line.strip_prefix("listening on ") {
            address.split(';').next().unwrap_or_default().clone_into(&mut program.address);
            return Ok(program);
        }
        let mut error = String::new();
        program.child.stderr.take().expect("piped").read_to_string(&mut error).expect("text");
        assert!(!program.child.wait().expect("it ended").success(), "{error}");
        Err(error)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address, "demo-tests").await
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// Ends it with SIGTERM; returns its remaining output.
    pub fn terminate(mut self) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let mut reader = BufReader::new(self.child.stdout.take().expect("piped"));
        let mut output = String::new();
        while reader.read_line(&mut output).expect("readable") > 0 {}
        assert!(self.child.wait().expect("it ended").success());
        output
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
