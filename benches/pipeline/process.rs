//! Processes that are killed when their value is dropped, and their memory.

use std::process::{Child, Command};

use crate::Result;

/// The binary of the service.
pub const BINARY: &str = env!("CARGO_BIN_EXE_f0-learning");

pub struct Process(pub Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A value from the status of a process, such as `VmRSS:` or `VmHWM:`, in KiB.
pub fn memory(process: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let found = status.lines().find(|text| text.starts_with(line))?;
    found.split_whitespace().nth(1)?.parse().ok()
}

/// Resets the peak (`VmHWM`) that the kernel measures (proc_pid_clear_refs(5)).
pub fn reset_peak(process: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}
