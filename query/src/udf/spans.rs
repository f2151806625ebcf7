//! `disjoint_spans(from, until)`: the union of a group's half-open spans of days, as disjoint spans in order (R16, R21).
//!
//! A window function over the sorted spans says the same, but costs 30 µs per group; there is a group per member.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// A span is one number, `from × 2^24 + until`: days since 1970 have 24 bits to spare.
const BITS: u32 = 24;

/// The aggregate. A span is given back as `from × 16777216 + until`.
pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(DisjointSpans(Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DisjointSpans(Signature);

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

impl AggregateUDFImpl for DisjointSpans {
    fn name(&self) -> &str {
        "disjoint_spans"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[spans]", args.name), list_type(), true))])
    }
    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Spans::default()))
    }
}

/// Spans as they came.
#[derive(Debug, Default)]
struct Spans(Vec<i64>);

impl Accumulator for Spans {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (from, until) = (values[0].as_primitive::<Int64Type>(), values[1].as_primitive::<Int64Type>());
        let spans = from.iter().zip(until).filter_map(|(from, until)| Some((from?, until?)));
        self.0.extend(spans.filter(|(from, until)| from < until).map(|(from, until)| from << BITS | until));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states[0].as_list_opt::<i32>() else { return internal_err!("disjoint_spans keeps a list") };
        for i in (0..lists.len()).filter(|i| lists.is_valid(*i)) {
            self.0.extend(lists.value(i).as_primitive::<Int64Type>().values());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list(std::mem::take(&mut self.0))?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        list(disjoint(std::mem::take(&mut self.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<i64>()
    }
}

fn list(spans: Vec<i64>) -> Result<ScalarValue> {
    let offsets = OffsetBuffer::from_lengths([spans.len()]);
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(Int64Array::from(spans)), None)?)))
}

/// Joins spans that overlap or touch.
fn disjoint(mut spans: Vec<i64>) -> Vec<i64> {
    let until = |span: i64| span & ((1 << BITS) - 1);
    spans.sort_unstable();
    let mut joined: Vec<i64> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span >> BITS <= until(*last) => *last = (*last >> BITS) << BITS | until(*last).max(until(span)),
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{BITS, disjoint};

    #[test]
    fn spans_that_overlap_or_touch_become_one() {
        let check = |spans: &[(i64, i64)], expected: &[(i64, i64)]| {
            let coded = |spans: &[(i64, i64)]| spans.iter().map(|(from, until)| from << BITS | until).collect::<Vec<_>>();
            assert_eq!(disjoint(coded(spans)), coded(expected));
        };
        check(&[], &[]);
        check(&[(1, 5)], &[(1, 5)]);
        check(&[(4, 9), (1, 5)], &[(1, 9)]);
        check(&[(1, 5), (5, 6)], &[(1, 6)]);
        check(&[(1, 9), (2, 3), (10, 12)], &[(1, 9), (10, 12)]);
    }
}
