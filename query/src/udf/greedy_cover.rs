//! `greedy_cover(choice, element, weight, k)`: up to `k` choices that together cover much weight (R16).
//!
//! Each row says that a choice covers an element. The greedy takes, again and again, the choice that adds the most weight of
//! elements not covered yet; of equal ones the first by name. That is within 1 − 1/e of the best. It ends early when nothing
//! is added any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringViewArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// The aggregate.
pub(super) fn function() -> AggregateUDF {
    let types = vec![DataType::Utf8View, DataType::Int64, DataType::Float64, DataType::Int64];
    AggregateUDF::from(GreedyCover(Signature::exact(types, Volatility::Immutable)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct GreedyCover(Signature);

impl AggregateUDFImpl for GreedyCover {
    fn name(&self) -> &str {
        "greedy_cover"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Utf8View))
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part: &str, of: DataType| Arc::new(Field::new(format!("{}[{part}]", args.name), of, true));
        Ok(vec![
            field("choices", list_of(DataType::Utf8View)),
            field("elements", list_of(DataType::Int64)),
            field("weights", list_of(DataType::Float64)),
            field("k", DataType::Int64),
        ])
    }
    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Cover::default()))
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn list(values: ArrayRef) -> Result<ScalarValue> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?)))
}

/// What each choice covers. A choice's name is kept once: there are few choices and millions of rows.
#[derive(Debug, Default)]
struct Cover {
    choices: BTreeMap<String, Vec<(i64, f64)>>,
    rows: usize,
    k: Option<i64>,
}

impl Cover {
    fn take(&mut self, choice: &ArrayRef, element: &ArrayRef, weight: &ArrayRef) {
        let (choice, element, weight) =
            (choice.as_string_view(), element.as_primitive::<Int64Type>(), weight.as_primitive::<Float64Type>());
        for i in (0..choice.len()).filter(|i| choice.is_valid(*i) && element.is_valid(*i) && weight.is_valid(*i)) {
            let covered = (element.value(i), weight.value(i));
            match self.choices.get_mut(choice.value(i)) {
                Some(elements) => elements.push(covered),
                None => drop(self.choices.insert(choice.value(i).to_owned(), vec![covered])),
            }
            self.rows += 1;
        }
    }
}

impl Accumulator for Cover {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.k = self.k.or_else(|| values[3].as_primitive::<Int64Type>().iter().flatten().next());
        self.take(&values[0], &values[1], &values[2]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (Some(choices), Some(elements), Some(weights)) =
            (states[0].as_list_opt::<i32>(), states[1].as_list_opt::<i32>(), states[2].as_list_opt::<i32>())
        else {
            return internal_err!("greedy_cover keeps lists");
        };
        for i in (0..choices.len()).filter(|i| choices.is_valid(*i)) {
            self.take(&choices.value(i), &elements.value(i), &weights.value(i));
        }
        self.k = self.k.or_else(|| states[3].as_primitive::<Int64Type>().iter().flatten().next());
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let rows = || self.choices.iter().flat_map(|(choice, covered)| covered.iter().map(move |c| (choice, c)));
        let choices = rows().map(|(choice, _)| Some(choice)).collect::<StringViewArray>();
        let elements = rows().map(|(_, (element, _))| *element).collect::<Int64Array>();
        let weights = rows().map(|(_, (_, weight))| *weight).collect::<Float64Array>();
        Ok(vec![list(Arc::new(choices))?, list(Arc::new(elements))?, list(Arc::new(weights))?, ScalarValue::Int64(self.k)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let chosen = greedy(&self.choices, self.k.unwrap_or(0).max(0) as usize);
        list(Arc::new(chosen.into_iter().map(Some).collect::<StringViewArray>()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows * size_of::<(i64, f64)>() + self.choices.keys().map(|c| c.len() + 64).sum::<usize>()
    }
}

/// The choices in the order in which the greedy takes them.
fn greedy(choices: &BTreeMap<String, Vec<(i64, f64)>>, k: usize) -> Vec<&str> {
    let mut weights: HashMap<i64, f64> = HashMap::new();
    for (element, weight) in choices.values().flatten() {
        weights.insert(*element, *weight);
    }
    let mut chosen = Vec::new();
    let mut left: BTreeMap<&str, HashSet<i64>> = choices
        .iter()
        .map(|(choice, covered)| (choice.as_str(), covered.iter().map(|(element, _)| *element).collect()))
        .collect();
    while chosen.len() < k {
        let gain = |covered: &HashSet<i64>| covered.iter().filter_map(|element| weights.get(element)).sum::<f64>();
        // The first of equals wins: names are in order.
        let best = left.iter().map(|(choice, covered)| (*choice, gain(covered))).filter(|(_, gain)| *gain > 0.0);
        let Some((best, _)) = best.reduce(|best, next| if next.1 > best.1 { next } else { best }) else { break };
        chosen.push(best);
        for element in left.remove(best).unwrap_or_default() {
            weights.remove(&element);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(covers: &[(&str, &[i64])], k: usize) -> Vec<String> {
        let weigh = |elements: &[i64]| elements.iter().map(|e| (*e, 1.0 + *e as f64 / 100.0)).collect();
        let choices = covers.iter().map(|(choice, elements)| ((*choice).to_owned(), weigh(elements))).collect();
        greedy(&choices, k).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn each_step_adds_the_most_that_is_not_covered() {
        let covers: &[(&str, &[i64])] = &[("A", &[1, 2, 3]), ("B", &[3, 4]), ("C", &[4, 5]), ("D", &[1, 2])];
        assert_eq!(chosen(covers, 1), ["A"]);
        assert_eq!(chosen(covers, 2), ["A", "C"]);
        assert_eq!(chosen(covers, 9), ["A", "C"], "nothing is left to add");
        assert_eq!(chosen(&[("Y", &[1]), ("X", &[1])], 1), ["X"], "of equals the first by name");
        assert!(chosen(covers, 0).is_empty() && chosen(&[], 3).is_empty());
    }

    /// Every set of up to `k` of the choices, against the promise 1 − 1/e.
    #[test]
    fn it_keeps_within_its_promise_of_the_best() {
        let mut rng = 7u64;
        let mut draw = |n: u64| {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 33) % n
        };
        for _ in 0..300 {
            let (m, k) = (draw(7) as usize + 1, draw(4) as usize + 1);
            let sets: Vec<u32> = (0..m).map(|_| draw(1 << 12) as u32).collect();
            let weight: Vec<f64> = (0..12).map(|_| draw(20) as f64).collect();
            let worth = |covered: u32| (0..12).filter(|e| covered & (1 << e) != 0).map(|e| weight[e]).sum::<f64>();
            let best = (0..1u32 << m)
                .filter(|taken| taken.count_ones() as usize <= k)
                .map(|taken| worth((0..m).filter(|s| taken & (1 << s) != 0).fold(0, |all, s| all | sets[s])))
                .fold(0.0, f64::max);
            let choices: BTreeMap<String, Vec<(i64, f64)>> = (0..m)
                .map(|s| (s.to_string(), (0..12).filter(|e| sets[s] & (1 << e) != 0).map(|e| (e as i64, weight[e])).collect()))
                .collect();
            let found = worth(greedy(&choices, k).iter().fold(0, |all, s| all | sets[s.parse::<usize>().unwrap()]));
            assert!(found >= best * (1.0 - (-1.0f64).exp()) - 1e-9, "{found} of {best}");
        }
    }
}
