//! Figures for operators, in the OpenMetrics text format at `/metrics`.
//!
//! Counters are added to where things happen; what can be read off the running process at any time (log end, committed
//! offsets, tail) is read when it is asked for. Labels are bounded: routes, not paths; reasons, not messages.

use std::fmt::Write as _;
use std::time::Duration;

use event::Instant;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Everything counted since the process started.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, Latency>,
    redeemed_units: Counter,
    sold_orders: Counter,
    refusals: Family<ReasonLabels, Counter>,
    queries: Family<QueryLabels, Counter>,
    query_latency: Histogram,
    checked: Mutex<Option<LastCheck>>,
}

/// What the last check over all days and stores came to.
#[derive(Clone, Copy, Debug)]
pub struct LastCheck {
    /// Differences between ledger and lake.
    pub differences: usize,
    /// When the ledger was read for it.
    pub at: Instant,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueryLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// Makes latency histograms.
#[derive(Clone, Debug)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        // A redemption takes about a millisecond, an fsync on a slow disk ten, a report over years seconds.
        Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hexiao");
        let requests = Family::default();
        let latency = Family::new_with_constructor(Latency);
        let redeemed_units = Counter::default();
        let sold_orders = Counter::default();
        let refusals = Family::default();
        let queries = Family::default();
        let query_latency = Latency.new_metric();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        registry.register("http_request_seconds", "Time until an answer's head was sent", latency.clone());
        registry.register("redeemed_units", "Units redeemed through this process", redeemed_units.clone());
        registry.register("sold_orders", "Orders sold through this process", sold_orders.clone());
        registry.register("refusals", "Attempts refused by a rule, by reason", refusals.clone());
        registry.register("queries", "Reports and SQL statements, by kind and outcome", queries.clone());
        registry.register("query_seconds", "Time of a report or SQL statement", query_latency.clone());
        let checked = Mutex::default();
        Metrics { registry, requests, latency, redeemed_units, sold_orders, refusals, queries, query_latency, checked }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status: status.into() };
        self.requests.get_or_create(&labels).inc();
        self.latency.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Units were redeemed.
    pub fn redeemed(&self, units: u64) {
        self.redeemed_units.inc_by(units);
    }

    /// An order was sold.
    pub fn sold(&self) {
        self.sold_orders.inc();
    }

    /// A rule refused.
    pub fn refused(&self, reason: &str) {
        self.refusals.get_or_create(&ReasonLabels { reason: reason.to_owned() }).inc();
    }

    /// A report or statement came to an end.
    pub fn queried(&self, kind: &'static str, succeeded: bool, took: Duration) {
        let outcome = if succeeded { "answered" } else { "failed" };
        self.queries.get_or_create(&QueryLabels { kind, outcome }).inc();
        self.query_latency.observe(took.as_secs_f64());
    }

    /// Ledger and lake were compared, all days and stores of them.
    pub fn checked(&self, check: LastCheck) {
        *self.checked.lock() = Some(check);
    }

    /// The last such check of this process, if there was one.
    pub fn last_check(&self) -> Option<LastCheck> {
        *self.checked.lock()
    }

    /// The counters, then `now`, then the end mark.
    pub fn show(&self, now: &[Figure]) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // What is read now stands before the end mark that the encoder has written.
        text.truncate(text.len() - text.strip_suffix("# EOF\n").map_or(0, |_| "# EOF\n".len()));
        text.push_str(&show(now)?);
        Ok(text)
    }
}

/// Of what `show` writes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Figures, then the end mark.
pub fn show(figures: &[Figure]) -> Result<String, std::fmt::Error> {
    let (mut text, mut family) = (String::new(), "");
    for Figure { name, help, kind, label, value } in figures {
        if *name != family {
            family = name;
            writeln!(text, "# HELP hexiao_{name} {help}.\n# TYPE hexiao_{name} {}", kind.word())?;
        }
        let label = label.as_ref().map(|(name, value)| format!("{{{name}=\"{value}\"}}")).unwrap_or_default();
        writeln!(text, "hexiao_{name}{}{label} {value}", kind.suffix())?;
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// Whether a figure goes up and down or only up.
#[derive(Debug, Clone, Copy)]
pub enum FigureKind {
    /// Up and down.
    Gauge,
    /// Only up, since the process started.
    Counter,
}

impl FigureKind {
    fn word(self) -> &'static str {
        match self {
            FigureKind::Gauge => "gauge",
            FigureKind::Counter => "counter",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            FigureKind::Gauge => "",
            FigureKind::Counter => "_total",
        }
    }
}

/// A figure read off the process when it is asked for. Those of one name stand together.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name without prefix.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Whether it only goes up.
    pub kind: FigureKind,
    /// What it is about: the lake's table, or a partition.
    pub label: Option<(&'static str, String)>,
    /// Its value.
    pub value: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_stand_in_one_document() {
        let metrics = Metrics::default();
        metrics.redeemed(3);
        metrics.refused("no_units_left");
        metrics.request("/v1/redemptions", "POST", 201, Duration::from_millis(2));
        let figure = |name, kind, table: Option<&str>, value| {
            let label = table.map(|table| ("table", table.to_owned()));
            Figure { name, help: "What it is", kind, label, value }
        };
        let now = [
            figure("log_end", FigureKind::Gauge, None, 12),
            figure("ledger_commits", FigureKind::Counter, None, 7),
            figure("committed_offset", FigureKind::Gauge, Some("orders"), 10),
            figure("committed_offset", FigureKind::Gauge, Some("members"), 9),
        ];
        let text = metrics.show(&now).unwrap();
        for line in [
            "hexiao_redeemed_units_total 3",
            "hexiao_refusals_total{reason=\"no_units_left\"} 1",
            "hexiao_http_requests_total{route=\"/v1/redemptions\",method=\"POST\",status=\"201\"} 1",
            "hexiao_log_end 12",
            "hexiao_ledger_commits_total 7",
            "hexiao_committed_offset{table=\"members\"} 9",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert_eq!(text.matches("# TYPE hexiao_committed_offset").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
