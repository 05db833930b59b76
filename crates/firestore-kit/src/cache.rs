//! A cached value with a lifetime, for documents that rarely change.

use std::time::Duration;

/// One value and the time it was read. The present is an argument, in epoch milliseconds.
#[derive(Debug)]
pub struct Cached<T> {
    ttl_ms: i64,
    cached: Option<(i64, T)>,
}

impl<T: Clone> Cached<T> {
    pub fn new(ttl: Duration) -> Self {
        Self { ttl_ms: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX), cached: None }
    }

    /// The cached value; `load` reads it if there is none or it is older than its lifetime.
    pub async fn get<E>(
        &mut self,
        now: i64,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some((read_at, value)) = &self.cached
            && (0..self.ttl_ms).contains(&now.saturating_sub(*read_at))
        {
            return Ok(value.clone());
        }
        let value = load.await?;
        self.cached = Some((now, value.clone()));
        Ok(value)
    }

    /// Makes the next [`get`](Self::get) load the value again.
    pub fn forget(&mut self) {
        self.cached = None;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn a_value_is_loaded_again_only_after_its_lifetime() {
        let mut cache = Cached::new(Duration::from_millis(100));
        let mut reads = 0;
        for (now, expected) in [(0, 1), (99, 1), (100, 2), (150, 2), (149, 2), (50, 3)] {
            let load = async {
                reads += 1;
                Ok::<_, Infallible>(reads)
            };
            let value = cache.get(now, load).await;
            assert_eq!(value, Ok(expected), "at {now}");
        }
    }
}
