//! Memory of one statement: drawn from the pool that all share, never more than one statement may have.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size};

/// One statement's share of a pool.
#[derive(Debug)]
pub(crate) struct StatementPool {
    shared: Arc<dyn MemoryPool>,
    limit: usize,
    used: AtomicUsize,
}

impl StatementPool {
    /// At most `limit` bytes of `shared`.
    pub fn new(shared: Arc<dyn MemoryPool>, limit: usize) -> Self {
        StatementPool { shared, limit, used: AtomicUsize::new(0) }
    }
}

impl MemoryPool for StatementPool {
    fn name(&self) -> &str {
        "statement"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.shared.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let more = |used: usize| used.checked_add(additional).filter(|sum| *sum <= self.limit);
        let Ok(used) = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) else {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} asked for {} more",
                reservation.consumer().name(),
                human_readable_size(additional)
            )));
        };
        self.shared.try_grow(reservation, additional).inspect_err(|_| {
            debug_assert!(used <= self.limit);
            self.used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for StatementPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement pool of {}", human_readable_size(self.limit))
    }
}

/// Bytes this process may use: the machine's memory, or its control group's where that is less. 4 GiB where neither is said.
pub(crate) fn machine_memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<usize>().ok())
        .map(|kib| kib << 10);
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<usize>().ok();
    machine.into_iter().chain(group).min().unwrap_or(4 << 30)
}
