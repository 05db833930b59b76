//! What `/metrics` shows, in the text format of Prometheus. `docs/metrics.md` lists every metric.
//!
//! A scrape reads nothing from Firestore: jobs report what they have read anyway, and the `measure` job
//! looks once a minute at what waits.

mod components;
mod firestore;
mod names;
mod policies;
mod service;
mod waiting;

use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use components::{Components, Volume};
pub use firestore::Requests;
pub use policies::{Convergence, Policies};
pub use service::Service;
pub use waiting::Waiting;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    components: Components,
    policies: Policies,
    service: Service,
    /// Families are cleared and filled for each text, one text at a time.
    encoding: Mutex<()>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("f0");
        Self {
            components: Components::register(&mut registry),
            policies: Policies::register(&mut registry),
            service: Service::register(&mut registry),
            encoding: Mutex::default(),
            registry,
        }
    }
}

impl Metrics {
    pub fn components(&self) -> &Components {
        &self.components
    }

    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    pub fn service(&self) -> &Service {
        &self.service
    }

    pub fn text(&self, ready: bool) -> String {
        let _one_at_a_time = self.encoding.lock().unwrap_or_else(PoisonError::into_inner);
        self.service.set_ready(ready);
        self.components.refresh();
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# cannot encode the metrics: {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests;
