//! What names a statement can use: `public` has the relations, `log` the raw tables, `system` what is known about them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use event::{Instant, Table};
use parking_lot::Mutex;

use crate::library::Sources;
use crate::provider::LakeTable;
use crate::system;
use crate::view::View;

/// The catalog's name.
pub(crate) const CATALOG: &str = "hexiao";

/// The schema of what a statement has computed for itself.
const KEPT: &str = "kept";

/// What one statement sees: one View, and the relations planned over it, each once.
pub(crate) struct Scope {
    pub state: SessionState,
    view: Arc<View>,
    /// Rows recorded since are not seen.
    known_before: Option<Instant>,
    sources: Arc<Sources>,
    system: system::Facts,
    planned: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
    planning: Mutex<HashSet<String>>,
    kept: Mutex<Vec<Kept>>,
}

/// Rows of a materialised expression, and the memory they take.
struct Kept {
    rows: Arc<MemTable>,
    _memory: MemoryReservation,
}

impl Scope {
    /// A scope over what `view` has and was recorded before `known_before`; `build` makes the session around its names.
    pub fn new(
        view: Arc<View>,
        known_before: Option<Instant>,
        sources: Arc<Sources>,
        system: system::Facts,
        build: impl FnOnce(Arc<dyn CatalogProviderList>) -> SessionState,
    ) -> Arc<Self> {
        Arc::new_cyclic(|scope: &Weak<Scope>| Scope {
            state: build(Arc::new(Names(scope.clone()))),
            view,
            known_before,
            sources,
            system,
            planned: Mutex::default(),
            planning: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// Keeps rows as long as the scope; returns the name of their table.
    pub fn keep(&self, rows: MemTable, memory: MemoryReservation) -> String {
        let mut kept = self.kept.lock();
        kept.push(Kept { rows: Arc::new(rows), _memory: memory });
        format!("{KEPT}.\"{}\"", kept.len() - 1)
    }

    async fn relation(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(source) = self.sources.views.get(name) else { return Ok(None) };
        if let Some(planned) = self.planned.lock().get(name) {
            return Ok(Some(planned.clone()));
        }
        if !self.planning.lock().insert(name.to_owned()) {
            return plan_err!("the relation `{name}` is defined by itself");
        }
        let plan = self.state.create_logical_plan(&source.sql).await;
        self.planning.lock().remove(name);
        let plan = plan.map_err(|e| DataFusionError::Internal(format!("relation `{name}`: {}", e.strip_backtrace())))?;
        let planned: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan, Some(source.sql.clone())));
        self.planned.lock().insert(name.to_owned(), planned.clone());
        Ok(Some(planned))
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

/// The rows of a table that were recorded before an instant.
fn recorded_before(name: &str, rows: Arc<dyn TableProvider>, instant: Instant) -> Result<Arc<dyn TableProvider>> {
    let limit = ScalarValue::TimestampMicrosecond(Some(instant.0), Some("UTC".into()));
    let plan =
        LogicalPlanBuilder::scan(name, provider_as_source(rows), None)?.filter(col("recorded_at").lt(lit(limit)))?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

#[derive(Debug)]
struct Names(Weak<Scope>);

impl CatalogProviderList for Names {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }
    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(Names(self.0.clone())) as _)
    }
}

impl CatalogProvider for Names {
    fn schema_names(&self) -> Vec<String> {
        ["public", "log", "system"].map(str::to_owned).to_vec()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let kind = match name {
            "public" => Kind::Public,
            "log" => Kind::Log,
            "system" => Kind::System,
            KEPT => Kind::Kept,
            _ => return None,
        };
        Some(Arc::new(Schema { kind, scope: self.0.clone() }))
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Public,
    Log,
    System,
    /// Found by whoever knows its names, and listed nowhere.
    Kept,
}

#[derive(Debug)]
struct Schema {
    kind: Kind,
    scope: Weak<Scope>,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        match self.kind {
            Kind::Public => self.scope.upgrade().map(|s| s.sources.views.keys().cloned().collect()).unwrap_or_default(),
            Kind::Log => Table::all().map(|t| t.name().to_owned()).collect(),
            Kind::System => system::TABLES.map(str::to_owned).to_vec(),
            Kind::Kept => Vec::new(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(scope) = self.scope.upgrade() else { return Ok(None) };
        match self.kind {
            Kind::Public => scope.relation(name).await,
            Kind::Log => {
                let Some(table) = Table::all().find(|t| t.name() == name) else { return Ok(None) };
                let rows: Arc<dyn TableProvider> = Arc::new(LakeTable::new(table, scope.view.table(table).clone()));
                scope.known_before.map_or(Ok(rows.clone()), |instant| recorded_before(name, rows, instant)).map(Some)
            }
            Kind::Kept => {
                let kept = scope.kept.lock();
                Ok(name.parse::<usize>().ok().and_then(|at| kept.get(at)).map(|kept| kept.rows.clone() as _))
            }
            Kind::System => system::table(name, &scope.view, &scope.sources, &scope.system),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|n| n == name)
    }
}
