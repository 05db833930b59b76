//! The built binary on a pseudo-terminal: keys go in, and a terminal emulator shows what a person would
//! see.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use f0_learning::store::Store;
use pty_process::Size;
use pty_process::blocking::{Command as OnPty, Pty, open};

use super::process::{BINARY, environment, wait_for};

pub const CTRL_C: &str = "\u{3}";
pub const CTRL_D: &str = "\u{4}";

/// Rows and columns.
pub type Dimensions = (u16, u16);

pub const USUAL: Dimensions = (40, 120);

/// How many rows that have scrolled away are kept.
const SCROLLBACK: usize = 500;

/// What came out of the program: as bytes, and as the emulator shows them.
struct Output {
    raw: Vec<u8>,
    parser: vt100::Parser,
}

/// A program on a terminal, killed when the value is dropped.
pub struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    output: Arc<Mutex<Output>>,
    reader: Option<JoinHandle<()>>,
}

/// What is left on a terminal after its program has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The rows that are seen.
    pub screen: String,
    /// Everything that the program wrote, with its control sequences.
    pub raw: String,
    pub hides_cursor: bool,
}

impl Ended {
    /// The exit code as a shell reports it: 128 and the number of the signal that ended the program.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|it| 128 + it)).unwrap()
    }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// The program, on which Ctrl-C has its usual effect. A shell without job control starts what runs in its
/// background with SIGINT ignored, and children inherit that.
fn program() -> Command {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if ignored.is_none_or(|mask| mask & SIGINT == 0) {
        return Command::new(BINARY);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", BINARY]);
    command
}

/// The bit of SIGINT in a set of signals (proc_pid_status(5)).
const SIGINT: u64 = 1 << 1;

/// The program with a store's settings and without those of this test's own process that change what a
/// terminal shows.
pub async fn on_store(store: &Store, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).envs(environment(store).await);
    plain(&mut command);
    command
}

/// Removes what would replace the properties of the terminal.
pub fn plain(command: &mut Command) {
    command.env("TERM", "xterm-256color");
    for name in ["NO_COLOR", "COLUMNS", "LINES", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG"] {
        command.env_remove(name);
    }
}

/// What is not on the terminal, because a shell would have redirected it.
#[derive(Default)]
pub struct Redirected {
    pub stdout: Option<Stdio>,
    pub stderr: Option<Stdio>,
}

impl Terminal {
    pub fn start(command: Command, size: Dimensions) -> Self {
        Self::start_redirected(command, size, Redirected::default())
    }

    pub fn start_redirected(
        command: Command,
        (rows, columns): Dimensions,
        redirected: Redirected,
    ) -> Self {
        let (pty, inside) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let mut command = OnPty::from(command);
        if let Some(stdout) = redirected.stdout {
            command = command.stdout(stdout);
        }
        if let Some(stderr) = redirected.stderr {
            command = command.stderr(stderr);
        }
        let child = command.spawn(inside).unwrap();
        let parser = vt100::Parser::new(nonzero(rows), nonzero(columns), SCROLLBACK);
        let output = Arc::new(Mutex::new(Output { raw: Vec::new(), parser }));
        let (pty, kept) = (Arc::new(pty), output.clone());
        let reading = pty.clone();
        let reader = std::thread::spawn(move || read(&reading, &kept));
        Self { child, pty, output, reader: Some(reader) }
    }

    pub fn type_keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size, as a person who drags the window.
    pub fn resize(&self, (rows, columns): Dimensions) {
        self.output.lock().unwrap().parser.set_size(nonzero(rows), nonzero(columns));
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub fn screen(&self) -> String {
        self.output.lock().unwrap().parser.screen().contents()
    }

    pub fn hides_cursor(&self) -> bool {
        self.output.lock().unwrap().parser.screen().hide_cursor()
    }

    /// How often a text was written, also where it was cleared since.
    pub fn count(&self, part: &str) -> usize {
        String::from_utf8_lossy(&self.output.lock().unwrap().raw).matches(part).count()
    }

    /// Waits until the screen is as expected.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let mut poll = || {
            last = self.screen();
            holds(&last).then(|| last.clone())
        };
        wait_for(what, &mut poll)
    }

    pub fn wait_to_show(&self, part: &str) -> String {
        self.wait_until(part, |screen| screen.contains(part))
    }

    /// Waits until the screen has a text, or the program ends without it.
    pub fn shows_before_its_end(&self, part: &str) -> bool {
        let is_over = || self.reader.as_ref().is_none_or(JoinHandle::is_finished);
        wait_for(part, || match self.screen().contains(part) {
            false if is_over() => Some(self.screen().contains(part)),
            shows => shows.then_some(true),
        })
    }

    /// Waits for the end of the program.
    pub fn end(mut self) -> Ended {
        let status = wait_for("the end of the program", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        let output = self.output.lock().unwrap();
        let screen = output.parser.screen();
        Ended {
            status,
            screen: screen.contents(),
            raw: String::from_utf8_lossy(&output.raw).into_owned(),
            hides_cursor: screen.hide_cursor(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until nothing holds the inside of the terminal any more, which Linux reports as an error.
fn read(pty: &Pty, output: &Mutex<Output>) {
    let (mut pty, mut buffer) = (pty, [0; 4_096]);
    while let Ok(n @ 1..) = pty.read(&mut buffer) {
        let mut output = output.lock().unwrap();
        output.raw.extend_from_slice(&buffer[..n]);
        output.parser.process(&buffer[..n]);
    }
}
