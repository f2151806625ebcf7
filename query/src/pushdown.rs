//! Filters move down a plan only where columns can't be mistaken for one another.
//!
//! The engine's rule finds a filter's columns in the node below by their names. Where two have the same name, as above most
//! joins, a filter on one becomes a filter on the other, and rows are lost without a word: `coalesce(e.x, n.x) >= 'A'` over a
//! right join became a filter on `e.x` alone. So the rule is asked about the parts of a plan below which every name is there
//! once. Files and row groups are left out by their statistics in the scans, which are such parts.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

/// The engine's rules, with its filter pushdowns kept to where they are right.
pub(crate) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let kept = [FilterPushdown::new(), FilterPushdown::new_post_optimization()];
    let mut rules = PhysicalOptimizer::new().rules;
    for rule in kept {
        if let Some(at) = rules.iter().position(|r| r.name() == rule.name()) {
            rules[at] = Arc::new(WhereNamesDiffer(rule));
        }
    }
    rules
}

#[derive(Debug)]
struct WhereNamesDiffer(FilterPushdown);

impl PhysicalOptimizerRule for WhereNamesDiffer {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        // A node's own output is not looked into: no filter comes from above it.
        if plan.children().into_iter().all(names_differ) {
            return self.0.optimize(plan, config);
        }
        let children = plan.children().into_iter().map(|child| self.optimize(child.clone(), config)).collect::<Result<_>>()?;
        replace_children_if_necessary(plan, children)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether each node of a plan has every name once.
fn names_differ(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut names = HashSet::new();
    plan.schema().fields().iter().all(|field| names.insert(field.name().clone())) && plan.children().into_iter().all(names_differ)
}
