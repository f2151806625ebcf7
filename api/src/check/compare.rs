//! Two sides of totals, and two sides of rows: what differs. Pure.

use std::collections::BTreeMap;

use event::Day;
use ledger::{LedgerRow, Total, TotalOf, Totals, fingerprint, named_by, reduced};

use super::lake::LakeRow;

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The totals of a store's day.
    Totals,
    /// An event of the ledger.
    NotInLake,
    /// An event of the lake.
    NotInLedger,
    /// The same event again.
    Repeated,
    /// The same event with other units or fen.
    OtherValue,
    /// An event of another source that stands in two business months.
    TwoMonths,
    /// A message under the ledger's source that is no event.
    DeadLetter,
    /// The ledger ends before the lake.
    OlderLedger,
}

impl Kind {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Totals => "totals differ",
            Kind::NotInLake => "not in the lake",
            Kind::NotInLedger => "not in the ledger",
            Kind::Repeated => "more than once in the lake",
            Kind::OtherValue => "other value in the lake",
            Kind::TwoMonths => "in two months",
            Kind::DeadLetter => "dead letter",
            Kind::OlderLedger => "ledger older than the lake",
        }
    }
}

/// One side of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Events.
    pub events: i64,
    /// Their units.
    pub units: i64,
    /// Their fen.
    pub fen: i64,
}

impl From<&Total> for Side {
    fn from(total: &Total) -> Self {
        Side { events: total.events, units: total.units, fen: total.fen }
    }
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How it differs.
    pub kind: Kind,
    /// The acting store.
    pub store_id: Option<String>,
    /// Its business day.
    pub business_day: Option<Day>,
    /// Type of event.
    pub event_type: Option<String>,
    /// The event, where one is concerned and its id is known.
    pub event_id: Option<i64>,
    /// Its entitlement.
    pub entitlement_id: Option<i64>,
    /// What the ledger has.
    pub ledger: Option<Side>,
    /// What the lake has.
    pub lake: Option<Side>,
    /// What else there is to say.
    pub detail: Option<String>,
}

impl Difference {
    /// One that is about no store.
    pub fn of_kind(kind: Kind) -> Self {
        Difference {
            kind,
            store_id: None,
            business_day: None,
            event_type: None,
            event_id: None,
            entitlement_id: None,
            ledger: None,
            lake: None,
            detail: None,
        }
    }

    fn of(kind: Kind, of: &TotalOf) -> Self {
        Difference {
            store_id: Some(of.store_id.clone()),
            business_day: Some(of.business_day),
            event_type: Some(of.event_type.clone()),
            ..Difference::of_kind(kind)
        }
    }
}

/// Totals that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of what.
    pub of: TotalOf,
    /// The ledger's.
    pub ledger: Total,
    /// The lake's.
    pub lake: Total,
}

/// The totals that differ, in order. What one side lacks counts as nothing.
pub fn totals(ledger: &Totals, lake: &Totals) -> Vec<Finding> {
    let all: std::collections::BTreeSet<&TotalOf> = ledger.keys().chain(lake.keys()).collect();
    let side = |totals: &Totals, of| totals.get(of).copied().unwrap_or(Total::ZERO);
    let findings = all.into_iter().map(|of| Finding { of: of.clone(), ledger: side(ledger, of), lake: side(lake, of) });
    findings.filter(|finding| !finding.ledger.agrees(&finding.lake)).collect()
}

trait Agrees {
    fn agrees(&self, lake: &Self) -> bool;
}

impl Agrees for Total {
    fn agrees(&self, lake: &Total) -> bool {
        let known = self.fingerprint.zip(lake.fingerprint);
        Side::from(self) == Side::from(lake) && known.is_none_or(|(ours, theirs)| ours == theirs)
    }
}

impl Finding {
    /// The finding itself.
    pub fn total(&self) -> Difference {
        Difference {
            ledger: Some(Side::from(&self.ledger)),
            lake: Some(Side::from(&self.lake)),
            ..Difference::of(Kind::Totals, &self.of)
        }
    }

    /// The events behind it: by the ledger's rows, or where it keeps none by what the fingerprints tell.
    pub fn events(&self, of_ledger: &[LedgerRow], of_lake: &[LakeRow]) -> Vec<Difference> {
        let of_ledger: Vec<&LedgerRow> = of_ledger.iter().filter(|row| row.event_type == self.of.event_type).collect();
        let of_lake: Vec<&LakeRow> = of_lake.iter().filter(|row| row.of == self.of).collect();
        let sum = |of: fn(&LedgerRow) -> i64| of_ledger.iter().map(|row| of(row)).sum::<i64>();
        let rows = Side { events: of_ledger.len() as i64, units: sum(|row| row.units), fen: sum(|row| row.fen) };
        // Rows of a load that came without them add up to less.
        if rows == Side::from(&self.ledger) { self.by_rows(&of_ledger, &of_lake) } else { self.by_fingerprint(&of_lake) }
    }

    fn by_rows(&self, of_ledger: &[&LedgerRow], of_lake: &[&LakeRow]) -> Vec<Difference> {
        // Sales are known by their entitlement: the ledger does not keep the ids of their events.
        let by_id = of_ledger.iter().all(|row| row.event_id.is_some());
        let mut pairs: BTreeMap<i64, (Option<&LedgerRow>, Vec<&LakeRow>)> = BTreeMap::new();
        for row in of_ledger {
            pairs.entry(row.event_id.unwrap_or(row.entitlement_id)).or_default().0 = Some(row);
        }
        for row in of_lake {
            let key = if by_id { row.event_id } else { row.entitlement_id.unwrap_or(row.event_id) };
            pairs.entry(key).or_default().1.push(row);
        }
        pairs.into_values().filter_map(|(ledger, lake)| self.pair(ledger, &lake)).collect()
    }

    fn pair(&self, ledger: Option<&LedgerRow>, lake: &[&LakeRow]) -> Option<Difference> {
        let ours = ledger.map(|row| Side { events: 1, units: row.units, fen: row.fen });
        let theirs = side(lake);
        let kind = match (ledger, lake.len()) {
            (_, 0) => Kind::NotInLake,
            (None, _) => Kind::NotInLedger,
            (Some(_), 1) if ours == theirs => return None,
            (Some(_), 1) => Kind::OtherValue,
            (Some(_), _) => Kind::Repeated,
        };
        let first = lake.first();
        Some(Difference {
            event_id: first.map(|row| row.event_id).or(ledger.and_then(|row| row.event_id)),
            entitlement_id: first.and_then(|row| row.entitlement_id).or(ledger.map(|row| row.entitlement_id)),
            ledger: ours,
            lake: theirs,
            ..Difference::of(kind, &self.of)
        })
    }

    fn by_fingerprint(&self, of_lake: &[&LakeRow]) -> Vec<Difference> {
        let mut by_id: BTreeMap<i64, Vec<&LakeRow>> = BTreeMap::new();
        of_lake.iter().for_each(|row| by_id.entry(row.event_id).or_default().push(row));
        let repeated: Vec<Difference> =
            by_id.values().filter(|rows| rows.len() > 1).map(|rows| self.one(Kind::Repeated, None, rows)).collect();
        if !repeated.is_empty() {
            return repeated;
        }
        self.single(&by_id).into_iter().collect()
    }

    /// The event that alone explains the difference, if one does.
    fn single(&self, by_id: &BTreeMap<i64, Vec<&LakeRow>>) -> Option<Difference> {
        let (ours, theirs) = self.ledger.fingerprint.zip(self.lake.fingerprint)?;
        let (fen, units) = (self.lake.fen - self.ledger.fen, self.lake.units - self.ledger.units);
        match self.lake.events - self.ledger.events {
            -1 => {
                let event_id = named_by(reduced(ours.wrapping_sub(theirs)), -fen);
                let lost = Side { events: 1, units: -units, fen: -fen };
                let difference =
                    Difference { event_id: Some(event_id), ledger: Some(lost), ..Difference::of(Kind::NotInLake, &self.of) };
                (!by_id.contains_key(&event_id) && units < 0).then_some(difference)
            }
            1 => {
                let rows = by_id.get(&named_by(reduced(theirs.wrapping_sub(ours)), fen))?;
                Some(self.one(Kind::NotInLedger, None, rows))
            }
            0 => {
                // As the ledger has it, the event would make up for the whole difference.
                let before = |row: &LakeRow| fingerprint(row.event_id, row.fen - fen);
                let explains = |row: &LakeRow| {
                    let changed = reduced(fingerprint(row.event_id, row.fen).wrapping_sub(before(row)));
                    changed == reduced(theirs.wrapping_sub(ours))
                };
                let mut found = by_id.values().filter(|rows| explains(rows[0]));
                let (rows, more) = (found.next()?, found.next());
                let row = rows[0];
                let ours = Side { events: 1, units: row.units - units, fen: row.fen - fen };
                more.is_none().then(|| self.one(Kind::OtherValue, Some(ours), rows))
            }
            _ => None,
        }
    }

    fn one(&self, kind: Kind, ledger: Option<Side>, lake: &[&LakeRow]) -> Difference {
        let first = lake.first();
        Difference {
            event_id: first.map(|row| row.event_id),
            entitlement_id: first.and_then(|row| row.entitlement_id),
            ledger,
            lake: side(lake),
            ..Difference::of(kind, &self.of)
        }
    }
}

fn side(rows: &[&LakeRow]) -> Option<Side> {
    let sum = |of: fn(&LakeRow) -> i64| rows.iter().map(|row| of(row)).sum::<i64>();
    (!rows.is_empty()).then(|| Side { events: rows.len() as i64, units: sum(|row| row.units), fen: sum(|row| row.fen) })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn of() -> TotalOf {
        TotalOf { store_id: "S1".into(), business_day: Day(20_000), event_type: "redeemed".into() }
    }

    const ROWS: [(i64, i64); 4] = [
        (468_000_000_000_000_001, 3_300),
        (468_000_000_000_000_002, 3_300),
        (468_000_000_000_000_003, 3_400),
        (468_000_000_000_000_009, 0),
    ];

    /// Four redemptions in the ledger; the lake has what `damage` leaves of them. Both with the ledger's rows and without.
    fn check(damage: fn(&mut Vec<(i64, i64)>), expected: Expect) {
        let total = |rows: &[(i64, i64)]| {
            let mut total = Total::ZERO;
            rows.iter().for_each(|(id, fen)| total.add(1, *fen, Some(*id)));
            total
        };
        let mut damaged = ROWS.to_vec();
        damage(&mut damaged);
        let of_lake: Vec<LakeRow> = damaged
            .iter()
            .map(|(id, fen)| LakeRow {
                of: of(),
                event_id: *id,
                entitlement_id: Some(*id % 1_000),
                units: 1,
                fen: *fen,
                log_offset: 0,
            })
            .collect();
        let of_ledger = ROWS.map(|(id, fen)| LedgerRow {
            event_type: "redeemed",
            event_id: Some(id),
            entitlement_id: id % 1_000,
            units: 1,
            fen,
        });
        let totals_of = |rows: &[(i64, i64)]| Totals::from([(of(), total(rows))]);
        let findings = totals(&totals_of(&ROWS), &totals_of(&damaged));
        let show = |d: &Difference| {
            let fen = |side: &Option<Side>| side.map_or("-".to_owned(), |s| format!("{}×{}", s.events, s.fen));
            format!("{} …{} {} | {}", d.kind.as_str(), d.event_id.unwrap_or(0) % 1_000, fen(&d.ledger), fen(&d.lake))
        };
        let with = |rows: &[LedgerRow]| {
            findings.iter().flat_map(|f| f.events(rows, &of_lake)).map(|d| show(&d)).collect::<Vec<_>>().join("; ")
        };
        let said = format!("{}\n{}", with(&of_ledger), with(&[]));
        expected.assert_eq(if findings.is_empty() { "they agree" } else { &said });
    }

    #[test]
    fn a_damage_is_named_by_rows_and_by_fingerprint() {
        check(|_| {}, expect!["they agree"]);
        check(
            |rows| {
                rows.remove(1);
            },
            expect![[r#"
            not in the lake …2 1×3300 | -
            not in the lake …2 1×3300 | -"#]],
        );
        check(
            |rows| rows.push(rows[2]),
            expect![[r#"
            more than once in the lake …3 1×3400 | 2×6800
            more than once in the lake …3 - | 2×6800"#]],
        );
        check(
            |rows| rows[2].1 += 1,
            expect![[r#"
            other value in the lake …3 1×3400 | 1×3401
            other value in the lake …3 1×3400 | 1×3401"#]],
        );
        check(
            |rows| rows.push((468_000_000_000_000_777, 5)),
            expect![[r#"
            not in the ledger …777 - | 1×5
            not in the ledger …777 - | 1×5"#]],
        );
        // Values that changed places sum to the same.
        check(
            |rows| (rows[0].1, rows[2].1) = (rows[2].1, rows[0].1),
            expect![[r#"
            other value in the lake …1 1×3300 | 1×3400; other value in the lake …3 1×3400 | 1×3300
        "#]],
        );
        // One event for another of the same value.
        check(
            |rows| rows[0].0 += 500,
            expect![[r#"
            not in the lake …1 1×3300 | -; not in the ledger …501 - | 1×3300
        "#]],
        );
    }
}
