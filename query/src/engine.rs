//! Runs statements over a View: read-only, within limits, one cut of the data from the first table to the last row.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use chrono::Offset;
use chrono::TimeZone;
use chrono_tz::Tz;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use event::{Clock, Day, Instant};
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant as Deadline;

use crate::answer::{About, Answer, Presentation, Rows};
use crate::asked::{Asked, GENERAL, beginning};
use crate::library::Library;
use crate::params::{Params, Value};
use crate::pool::StatementPool;
use crate::schemas::{CATALOG, Scope};
use crate::source::Source;
use crate::view::View;
use crate::{Error, Result, beside, explain, guard, materialize, period, pool, pushdown, system, tail, udf};

/// Limits of the engine, each with its reason.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads one statement uses. All cores: statements are few and people wait for them.
    pub threads: usize,
    /// Memory of all statements together: two fifths of what the process may use, because accounting is voluntary and misses
    /// about half.
    pub memory_bytes: usize,
    /// Memory of one statement, half of that, so that one cannot starve the others. Beyond it sorts and groups spill to disk:
    /// a year of 5 million redemptions by call and member needs about 2 GB not to.
    pub statement_memory_bytes: usize,
    /// Disk for spilling, all statements together. Ten times the memory sorts what fits on a small machine's disk.
    pub spill_bytes: u64,
    /// The longest a statement may take, planning and sending included: nobody waits longer at a screen.
    pub deadline: Duration,
    /// The most rows an answer may have: a spreadsheet takes 2^20, a bulk reader can ask by month.
    pub rows_limit: u64,
    /// The most pairs of rows a join without an equality may compare in a statement of a user's own: at about 1 ns a pair
    /// this is five seconds of one thread.
    pub pairs_limit: u64,
    /// The longest a statement's text may be: people write 10 KiB, tools 100.
    pub statement_bytes_limit: usize,
    /// Statements that run at once; more only share the same cores.
    pub running: usize,
    /// Statements that may wait for their turn; more would wait beyond the deadline.
    pub waiting: usize,
    /// Zone of the chain's `today`, where a report's default asks for it. Rules count in each store's own zone.
    pub time_zone: Tz,
    /// Where rows are computed: a runtime of its own keeps the till's free. `None`: the caller's.
    pub runtime: Option<Handle>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let memory = pool::machine_memory();
        EngineConfig {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            memory_bytes: memory / 5 * 2,
            statement_memory_bytes: memory / 5,
            spill_bytes: 20 << 30,
            deadline: Duration::from_secs(60),
            rows_limit: 5_000_000,
            pairs_limit: 5_000_000_000,
            statement_bytes_limit: 256 << 10,
            running: 4,
            waiting: 64,
            time_zone: Tz::Asia__Shanghai,
            runtime: None,
        }
    }
}

/// The most rows of an answer that is compared or explained: people do that with what they can look through.
const COMPARED_ROWS: u64 = 500_000;

/// What a statement knows: what `now()` is, and what was recorded before an instant, if not everything.
#[derive(Clone, Copy)]
struct Known {
    now: Instant,
    before: Option<Instant>,
}

/// Answers statements and reports.
pub struct Engine {
    config: EngineConfig,
    clock: Arc<dyn Clock>,
    base: SessionState,
    library: Library,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Engine {
    /// An engine with the embedded relations and reports and, where `extra` has folders `views` and `reports`, those in
    /// there as they are when asked for; a file of the same name replaces the embedded one.
    pub fn new(config: EngineConfig, clock: Arc<dyn Clock>, extra: Option<&Path>) -> Result<Self> {
        let library = Library::open(extra)?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(config.memory_bytes)))
            .with_max_temp_directory_size(config.spill_bytes)
            .build()
            .map_err(Error::Engine)?;
        let mut session = SessionConfig::new()
            .with_target_partitions(config.threads)
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        let options = session.options_mut();
        options.execution.time_zone = Some("UTC".to_owned());
        // The side of a join that is held in memory is not split by hash while it is small: the large side, mostly a scan of
        // years, then stays where it is. 2 million rows are about 100 MB.
        options.optimizer.hash_join_single_partition_threshold = 128 << 20;
        options.optimizer.hash_join_single_partition_threshold_rows = 2_000_000;
        let mut base = SessionStateBuilder::new()
            .with_config(session)
            .with_runtime_env(Arc::new(runtime))
            .with_default_features()
            .with_physical_optimizer_rules(pushdown::rules())
            .build();
        register(&mut base)?;
        let turns = Arc::new(Semaphore::new(config.running));
        Ok(Engine { config, clock, base, library, turns, waiting: AtomicUsize::new(0) })
    }

    /// The limits.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The reports there are, by name.
    pub fn reports(&self) -> Vec<Arc<Source>> {
        self.library.current().reports.values().cloned().collect()
    }

    /// The relations there are, by name.
    pub fn relations(&self) -> Vec<Arc<Source>> {
        self.library.current().views.values().cloned().collect()
    }

    /// Files of the folder that are no relation or report, and why not.
    pub fn left_out(&self) -> Vec<(String, String)> {
        self.library.current().left_out.clone()
    }

    /// A report by name.
    pub fn report(&self, name: &str) -> Result<Arc<Source>> {
        let sources = self.library.current();
        sources.reports.get(name).cloned().ok_or_else(|| Error::UnknownReport {
            name: name.to_owned(),
            known: sources.reports.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// The chain's business day now, by which reports fill in their defaults.
    pub fn today(&self) -> Day {
        business_day(self.clock.now(), self.config.time_zone)
    }

    /// Runs one statement that reads.
    pub async fn sql(&self, view: &Arc<View>, sql: &str, params: &Params) -> Result<Answer> {
        self.answer(view, Known { now: self.clock.now(), before: None }, sql, params, self.config.pairs_limit).await
    }

    async fn answer(&self, view: &Arc<View>, known: Known, sql: &str, params: &Params, pairs_limit: u64) -> Result<Answer> {
        if sql.len() > self.config.statement_bytes_limit {
            return Err(Error::TooLong { bytes: sql.len(), limit: self.config.statement_bytes_limit });
        }
        let mut statement = guard::parse(sql)?;
        params.bind(&mut statement)?;
        let deadline = Deadline::now() + self.config.deadline;
        let late = |_| Error::DeadlineExceeded { limit: self.config.deadline };
        let turn = tokio::time::timeout_at(deadline, self.turn()).await.map_err(late)??;

        let scope = self.scope(view, known);
        let plan = async {
            self.materialize(&scope, &mut statement, pairs_limit).await?;
            self.plan(&scope, statement, pairs_limit).await
        };
        let plan = tokio::time::timeout_at(deadline, plan).await.map_err(late)??;
        let schema = plan.schema();
        let batches = execute_stream(plan, scope.state.task_ctx()).map_err(|e| self.failed(e))?;
        let rows = self.drive(batches, deadline, (turn, scope)).await?;
        Ok(Answer {
            schema,
            freshness: view.freshness(),
            about: None,
            presentation: Presentation { zone: self.config.time_zone, ..Presentation::default() },
            rows,
        })
    }

    /// Runs a report; `given` are its parameters and the general ones ([`GENERAL`](crate::GENERAL)), as text.
    pub async fn run(&self, view: &Arc<View>, report: &str, given: &BTreeMap<String, String>) -> Result<Answer> {
        let source = &*self.report(report)?;
        let asked = Asked::new(source, given)?;
        let zone = self.config.time_zone;
        let known = match asked.as_known_on {
            Some(day) => Known { now: beginning(day, zone), before: Some(beginning(day, zone)) },
            None => Known { now: self.clock.now(), before: None },
        };
        let params = asked.params(source, business_day(known.now, zone))?;
        // Reports are written and measured by people who know what they join.
        let rows_of =
            |known: Known, params: Params| async move { self.answer(view, known, &source.sql, &params, u64::MAX).await };
        let about = self.about(view, known, source, &params, given).await?;
        let answer = rows_of(known, params.clone()).await?;
        let answer = if let Some((this, that)) = asked.periods(&params)? {
            let mut other = params.clone();
            other.set("from", Value::Day(that.from));
            other.set("to", Value::Day(that.to));
            let (answer, rows) = self.gathered(answer).await?;
            let (_, other) = self.gathered(rows_of(known, other).await?).await?;
            let per = params.get("per").and_then(Value::text);
            let moved = |day| period::laid_on(day, per.as_deref(), that, this);
            answer.with_rows(beside::lay(source, &rows, &other, "compare", moved)?.rows)
        } else if let Some(day) = asked.diff_known_on {
            let then = Known { before: Some(beginning(day, zone)), ..known };
            let (answer, rows) = self.gathered(answer).await?;
            let (_, before) = self.gathered(rows_of(then, params).await?).await?;
            let laid = beside::lay(source, &rows, &before, "known", |day| day)?;
            let restated = beside::restated(&laid, "known").map_err(|e| Error::from_engine(e.into(), 0))?;
            answer.with_rows(restated)
        } else if asked.explain {
            let (answer, rows) = self.gathered(answer).await?;
            answer.with_rows(explain::explain(source, &params, &rows)?)
        } else {
            answer
        };
        Ok(answer.shown_as(source, about))
    }

    /// All rows of an answer that people compare, as one batch.
    async fn gathered(&self, mut answer: Answer) -> Result<(Answer, RecordBatch)> {
        let mut batches = Vec::new();
        let mut count = 0;
        while let Some(batch) = answer.rows.try_next().await? {
            count += batch.num_rows() as u64;
            batches.push(batch);
            if count > COMPARED_ROWS {
                return Err(Error::TooManyRows { limit: COMPARED_ROWS });
            }
        }
        let rows = beside::whole(&answer.schema, &batches).map_err(|e| Error::from_engine(e.into(), 0))?;
        Ok((answer, rows))
    }

    async fn about(
        &self,
        view: &Arc<View>,
        known: Known,
        source: &Source,
        params: &Params,
        given: &BTreeMap<String, String>,
    ) -> Result<About> {
        let mut parameters = params.texts();
        parameters.extend(
            given
                .iter()
                .filter(|(name, _)| GENERAL.iter().any(|(general, _)| general == name))
                .map(|(n, v)| (n.clone(), v.clone())),
        );
        let since = match params.get("from") {
            Some(Value::Day(from)) => beginning(*from, self.config.time_zone),
            _ => Instant::Y2000,
        };
        let mut values = Params::new();
        values.set("since", Value::Instant(since));
        let sql = "SELECT count(*) AS n FROM log.dead_letters WHERE recorded_at >= $since";
        let counted = self.answer(view, known, sql, &values, u64::MAX).await?.collect().await?;
        let dead_letters = counted.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().iter().flatten()).sum::<i64>();
        let definition = self.library.current().definition(source);
        Ok(About { report: source.name.clone(), definition, parameters, dead_letters: dead_letters as u64 })
    }

    /// A plan that reads, and joins no more than it may.
    async fn plan(&self, scope: &Scope, statement: Statement, pairs_limit: u64) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = scope.state.statement_to_plan(statement).await.map_err(|e| self.failed(e))?;
        guard::verify(&plan)?;
        let plan = scope.state.create_physical_plan(&plan).await.map_err(|e| self.failed(e))?;
        guard::verify_joins(plan.as_ref(), pairs_limit)?;
        Ok(plan)
    }

    /// Computes what the statement wants computed once, in order, and leaves the rest of it.
    async fn materialize(&self, scope: &Arc<Scope>, statement: &mut Statement, pairs_limit: u64) -> Result<()> {
        let Some(with) = materialize::with_clause(statement) else { return Ok(()) };
        for at in 0..with.cte_tables.len() {
            if materialize::is_materialized(&with.cte_tables[at]) {
                let plan = self.plan(scope, materialize::alone(with, at), pairs_limit).await?;
                let schema = plan.schema();
                let batches = execute_stream(plan, scope.state.task_ctx()).map_err(|e| self.failed(e))?;
                let kept = self.compute(keep(scope.clone(), schema, batches)).done().await?;
                materialize::stand_for(&mut with.cte_tables[at], &kept.map_err(|e| self.failed(e))?)?;
            }
        }
        Ok(())
    }

    fn failed(&self, error: DataFusionError) -> Error {
        Error::from_engine(error, self.config.statement_memory_bytes)
    }

    /// Runs `work` where rows are computed.
    fn compute<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Computing<T> {
        Computing(match &self.config.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        })
    }

    /// Waits for a turn to run.
    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        if before >= self.config.waiting {
            return Err(Error::Busy { running: self.config.running, waiting: before });
        }
        Ok(self.turns.clone().acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// A session of one statement: its names, its memory, its `now()`.
    fn scope(&self, view: &Arc<View>, known: Known) -> Arc<Scope> {
        let now = known.now;
        let shared = self.base.runtime_env();
        let memory = StatementPool::new(shared.memory_pool.clone(), self.config.statement_memory_bytes);
        let runtime = RuntimeEnv { memory_pool: Arc::new(memory), ..RuntimeEnv::clone(shared) };
        Scope::new(view.clone(), known.before, self.library.current(), system::Facts { now }, |names| {
            SessionStateBuilder::new_from_existing(self.base.clone())
                .with_catalog_list(names)
                .with_runtime_env(Arc::new(runtime))
                .with_execution_props(execution_props(now))
                .build()
        })
    }

    /// Computes the rows in a task of their own and hands them on until the deadline. Returns with the first batch.
    async fn drive(
        &self,
        mut batches: SendableRecordBatchStream,
        deadline: Deadline,
        held: (OwnedSemaphorePermit, Arc<Scope>),
    ) -> Result<Rows> {
        // Two batches ahead keep the computing thread busy while one is written.
        let (sender, mut receiver) = mpsc::channel(2);
        let (memory_limit, rows_limit, limit) =
            (self.config.statement_memory_bytes, self.config.rows_limit, self.config.deadline);
        let task = async move {
            let _held = held;
            let mut sent = 0u64;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|e| Error::from_engine(e, memory_limit)).and_then(|batch| {
                    sent += batch.num_rows() as u64;
                    if sent > rows_limit { Err(Error::TooManyRows { limit: rows_limit }) } else { Ok(batch) }
                });
                let last = batch.is_err();
                if sender.send(batch).await.is_err() || last {
                    break;
                }
            }
        };
        let computing = self.compute(task);
        let late = move |_| Error::DeadlineExceeded { limit };
        let first = tokio::time::timeout_at(deadline, receiver.recv()).await.map_err(late)?.transpose()?;
        let state = (first, receiver, computing);
        Ok(Box::pin(futures::stream::unfold(Some(state), move |state| async move {
            let (mut first, mut receiver, computing) = state?;
            if let Some(batch) = first.take() {
                return Some((Ok(batch), Some((None, receiver, computing))));
            }
            match tokio::time::timeout_at(deadline, receiver.recv()).await {
                Ok(Some(Ok(batch))) => Some((Ok(batch), Some((None, receiver, computing)))),
                Ok(Some(Err(error))) => Some((Err(error), None)),
                // The channel also closes if the task panicked: that is not the end of the rows.
                Ok(None) => computing.done().await.err().map(|e| (Err(e), None)),
                Err(elapsed) => Some((Err(late(elapsed)), None)),
            }
        })))
    }
}

/// The chain's business day at an instant, in its zone.
pub fn business_day(now: Instant, zone: Tz) -> Day {
    let offset = zone.offset_from_utc_datetime(&now.to_utc().naive_utc()).fix().local_minus_utc();
    now.with_offset((offset / 60) as i16).business_time(event::DEFAULT_DAY_START_HOUR).day
}

/// Collects rows within the statement's memory; returns the name they have in the scope from now on.
async fn keep(
    scope: Arc<Scope>,
    schema: SchemaRef,
    mut batches: SendableRecordBatchStream,
) -> datafusion::common::Result<String> {
    let memory = MemoryConsumer::new("materialized rows").register(&scope.state.task_ctx().runtime_env().memory_pool);
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = tail::compact(batch?)?;
        memory.try_grow(batch.get_array_memory_size())?;
        rows.push(RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?);
    }
    Ok(scope.keep(MemTable::try_new(schema, vec![rows])?, memory))
}

/// A task that computes; stops when nobody waits for it any more.
struct Computing<T>(tokio::task::JoinHandle<T>);

impl<T> Computing<T> {
    /// What it came to.
    async fn done(mut self) -> Result<T> {
        (&mut self.0).await.map_err(|e| Error::Engine(DataFusionError::ExecutionJoin(Box::new(e))))
    }
}

impl<T> Drop for Computing<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn register(state: &mut SessionState) -> Result<()> {
    use datafusion::execution::FunctionRegistry;
    for function in udf::scalars() {
        state.register_udf(function).map_err(Error::Engine)?;
    }
    for function in udf::aggregates() {
        state.register_udaf(function).map_err(Error::Engine)?;
    }
    Ok(())
}

fn execution_props(now: Instant) -> ExecutionProps {
    ExecutionProps::new().with_query_execution_start_time(now.to_utc())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}
