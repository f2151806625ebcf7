//! What a statement may be: one, reading, and no join of everything with everything.

use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as Sql};

use crate::{Error, Result, materialize};

/// Nested deeper, a statement is a mistake or an attack on the stack.
const NESTING_LIMIT: usize = 50;

/// Reads one statement that reads.
pub(crate) fn parse(sql: &str) -> Result<Statement> {
    let bad = |e: DataFusionError| Error::from_engine(e, 0);
    let (sql, materialized) = materialize::take_words(sql);
    let mut statements = DFParserBuilder::new(sql.as_ref())
        .with_recursion_limit(NESTING_LIMIT)
        .build()
        .map_err(bad)?
        .parse_statements()
        .map_err(bad)?;
    let mut statement = match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => statement,
        (None, _) => return Err(Error::BadSql { message: "there is no statement".to_owned() }),
        (Some(_), more) => return Err(Error::Forbidden { statement: format!("more than one statement ({})", more + 1) }),
    };
    materialize::mark(&mut statement, &materialized);
    if reads(&statement) { Ok(statement) } else { Err(forbidden(&statement.to_string())) }
}

/// The second barrier: the plan has no node that writes, defines or sets, wherever it hides.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<()> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|_| forbidden(&plan.display().to_string()))
}

/// Refuses joins that compare more than `limit` pairs of rows: they hold a thread for minutes without a moment at which the
/// deadline could stop them.
pub(crate) fn verify_joins(plan: &dyn ExecutionPlan, limit: u64) -> Result<()> {
    estimate(plan, limit).map(drop)
}

/// About how many rows a plan gives, from above. Equality joins are taken to go by keys.
fn estimate(plan: &dyn ExecutionPlan, limit: u64) -> Result<u64> {
    /// What a source without statistics is taken for.
    const UNKNOWN_ROWS: u64 = 1_000_000;
    let inputs = plan.children().into_iter().map(|child| estimate(child.as_ref(), limit)).collect::<Result<Vec<_>>>()?;
    let rows = match inputs.as_slice() {
        [] => known_rows(plan).unwrap_or(UNKNOWN_ROWS),
        [one] => match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) if aggregate.group_expr().is_empty() => 1,
            _ => *one,
        },
        [left, right] if plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>() => {
            match left.checked_mul(*right).filter(|pairs| *pairs <= limit) {
                Some(pairs) => pairs,
                None => return Err(Error::TooManyPairs { left: *left, right: *right, limit }),
            }
        }
        several if plan.is::<UnionExec>() => several.iter().fold(0u64, |sum, n| sum.saturating_add(*n)),
        several => several.iter().copied().max().unwrap_or(0),
    };
    Ok(plan.fetch().map_or(rows, |fetch| rows.min(fetch as u64)))
}

fn known_rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().map(|n| *n as u64)
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(sql) => match sql.as_ref() {
            Sql::Query(query) => query_reads(query),
            Sql::Explain { statement, .. } => matches!(statement.as_ref(), Sql::Query(query) if query_reads(query)),
            Sql::ExplainTable { .. } | Sql::ShowTables { .. } | Sql::ShowColumns { .. } | Sql::ShowFunctions { .. } => true,
            Sql::ShowVariable { .. } => true,
            _ => false,
        },
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

/// `SELECT … INTO` creates a table; CTEs can hold INSERT and the like.
fn query_reads(query: &Query) -> bool {
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables).all(|cte| query_reads(&cte.query));
    ctes && body_reads(&query.body)
}

fn body_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => query_reads(query),
        SetExpr::SetOperation { left, right, .. } => body_reads(left) && body_reads(right),
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

fn forbidden(statement: &str) -> Error {
    let words: Vec<&str> = statement.split_whitespace().take(2).collect();
    Error::Forbidden { statement: format!("`{}`", words.join(" ")) }
}
