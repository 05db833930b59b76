//! `firestore`: the local Firestore alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use firestore_local::{Running, Server};

use super::shutdown;

#[derive(Debug, Args)]
pub struct Options {
    /// Address of the gRPC endpoint
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Folder to keep the data in; without it the data is gone when the server ends
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address of the meter of billed operations; the next port by default
    #[arg(long)]
    meter_addr: Option<SocketAddr>,
}

pub async fn run(options: Options) -> Result<()> {
    let server = start(options.addr, options.data, options.meter_addr).await?;
    println!(
        "Firestore listens on {}; meter on http://{}/meter",
        server.addr(),
        server.meter_addr()
    );
    shutdown::requested().await?;
    stop(server).await;
    Ok(())
}

pub async fn start(
    addr: SocketAddr,
    data: Option<PathBuf>,
    meter: Option<SocketAddr>,
) -> Result<Running> {
    Ok(Server::builder().addr(addr).data_dir(data).meter_addr(meter).start().await?)
}

/// Ends the server and prints what its use would have been billed.
pub async fn stop(server: Running) {
    let meter = server.meter();
    server.shutdown().await;
    println!("{meter}");
}
