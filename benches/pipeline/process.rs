//! Processes that end with the value that stands for them, and their memory.

use std::process::{Child, Command};

use crate::Result;

/// The service's binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_f0-learning");

pub struct Process(pub Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Ends it with SIGKILL: it gets to do nothing more.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `kill` there is nothing left to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of the process's status, such as `VmRSS:` or `VmHWM:`, in KiB.
pub fn memory(process: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let found = status.lines().find(|text| text.starts_with(line))?;
    found.split_whitespace().nth(1)?.parse().ok()
}

/// Lets the kernel measure the peak (`VmHWM`) anew (proc_pid_clear_refs(5)).
pub fn forget_peak(process: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}
