//! One card, many situations: each line says what is changed and what comes out.

use std::sync::Arc;

use event::Day;
use expect_test::{Expect, expect};

use super::*;
use crate::*;

struct Case {
    card: Entitlement,
    cross_store: bool,
    changes: Vec<ScopeChange>,
    at: &'static str,
}

fn store(id: &str) -> StoreId {
    StoreId::new(id).unwrap()
}

fn stores(ids: &[&str]) -> Vec<StoreId> {
    ids.iter().map(|id| store(id)).collect()
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// A head-office punch card of 3 units for 100.00, sold at S1 on 1 May, applicable at S1 and S2, without end.
fn case(edit: impl FnOnce(&mut Case)) -> Case {
    let terms = Terms {
        product_id: ProductId::new("P1").unwrap(),
        product_version: 1,
        product_type: ProductType::PunchCard,
        sale_kind: SaleKind::Card,
        head_office_product: true,
        units: 3,
        applicable_stores: stores(&["S1", "S2"]),
        vat_rate_bp: Some(600),
        skill: None,
        service_minutes: Some(60),
        validity: Validity::Permanent,
        blackouts: vec![],
    };
    let mut case = Case {
        card: Entitlement {
            id: EntitlementId(7),
            order_id: OrderId(6),
            member_id: None,
            terms: Arc::new(terms),
            sold_store: store("S1"),
            sold_at: at("2026-05-01T12:00:00+08:00"),
            catalog_seq: 10,
            window: Window { valid_from: at("2026-05-01T12:00:00+08:00"), valid_until: None },
            units: Units::new(3),
            holds: vec![],
            refund_open: false,
            payment: Payment::cash(10_000),
        },
        cross_store: true,
        changes: vec![],
        at: "2026-05-06T15:00:00+08:00",
    };
    edit(&mut case);
    case
}

fn terms(case: &mut Case) -> &mut Terms {
    Arc::make_mut(&mut case.card.terms)
}

fn check(case: Case, store_id: &str, wanted: u32, expect: Expect) {
    let zone = Zone::new("Asia/Shanghai", 4).unwrap();
    let chain = Chain { cross_store: case.cross_store, changes: &case.changes };
    let store_id = store(store_id);
    let serving = Serving { store: &store_id, at: at(case.at), zone, sold_zone: zone };
    let text = match redeem(&case.card, chain, serving, NonZeroU32::new(wanted).unwrap()) {
        Ok(taken) => {
            let unit = |u: &TakenUnit| {
                let booked = u.booked.as_ref().map_or(String::new(), |(store, id)| format!(" booked at {store} by {id}"));
                format!("#{} {}->{} worth {}{booked}", u.ordinal, u.remaining_before, u.remaining_after, u.value.paid_fen)
            };
            let units = taken.units.iter().map(unit).collect::<Vec<_>>().join(", ");
            let until = taken.window.valid_until.map_or(String::new(), |t| format!(" until {}", zone.moment(t)));
            format!("{units}; {:?}{until}", taken.after)
        }
        Err(refusal) => {
            let allowed = refusal.allowed();
            assert_eq!(serde_free_code(&refusal), refusal.code());
            let stores = allowed.stores.iter().map(|s| format!(" {s}")).collect::<String>();
            let from = allowed.from.map_or(String::new(), |t| format!(" from {}", zone.moment(t)));
            let units = allowed.units.map_or(String::new(), |n| format!(" {n} units"));
            format!(
                "{} {}: {refusal} [{}]",
                refusal.rule().unwrap_or("-"),
                refusal.code(),
                format!("{stores}{from}{units}").trim()
            )
        }
    };
    expect.assert_eq(&text);
}

/// The code as a snake-cased variant name, so that what is stored and what is logged cannot drift apart.
fn serde_free_code(refusal: &Refusal) -> String {
    let debug = format!("{refusal:?}");
    let name: String = debug.chars().take_while(|c| c.is_alphanumeric()).collect();
    name.chars().enumerate().fold(String::new(), |mut code, (i, c)| {
        if c.is_uppercase() && i > 0 {
            code.push('_');
        }
        code.push(c.to_ascii_lowercase());
        code
    })
}

#[test]
fn r1_units_are_taken_by_ordinal_and_worth_what_r9_says() {
    check(case(|_| {}), "S1", 1, expect!["#1 3->2 worth 3333; raa"]);
    check(case(|_| {}), "S2", 3, expect!["#1 3->2 worth 3333, #2 2->1 worth 3333, #3 1->0 worth 3334; rrr"]);
    check(case(|c| c.card.units = Units::parse("rar").unwrap()), "S1", 1, expect!["#2 1->0 worth 3333; rrr"]);
    check(case(|c| c.card.units = Units::parse("rrr").unwrap()), "S1", 1, expect!["R1 no_units_left: no units left []"]);
    check(
        case(|c| c.card.units = Units::parse("rra").unwrap()),
        "S1",
        2,
        expect!["R1 not_enough_units: 2 units wanted, 1 available [1 units]"],
    );
}

#[test]
fn r3_switch_type_and_creator_decide_who_may_redeem() {
    check(case(|c| c.cross_store = false), "S1", 1, expect!["#1 3->2 worth 3333; raa"]);
    check(
        case(|c| c.cross_store = false),
        "S2",
        1,
        expect!["R3 sold_store_only: redeems only at S1, where it was sold: the cross-store switch is off [S1]"],
    );
    check(
        case(|_| {}),
        "S3",
        1,
        expect!["R3 store_not_applicable: not applicable at store S3; may be redeemed at S1, S2 [S1 S2]"],
    );
    check(
        case(|c| terms(c).head_office_product = false),
        "S2",
        1,
        expect!["R3 sold_store_only: redeems only at S1, where it was sold: the product does not cross stores [S1]"],
    );
    for (product_type, crosses) in [
        (ProductType::Booking, true),
        (ProductType::Card, true),
        (ProductType::PunchCard, true),
        (ProductType::Service, false),
        (ProductType::Goods, false),
    ] {
        let case = case(|c| terms(c).product_type = product_type);
        let zone = Zone::new("Asia/Shanghai", 4).unwrap();
        let serving = Serving { store: &store("S2"), at: at(case.at), zone, sold_zone: zone };
        let chain = Chain { cross_store: true, changes: &[] };
        assert_eq!(redeem(&case.card, chain, serving, NonZeroU32::MIN).is_ok(), crosses, "{product_type}");
    }
    // Sold where the product is not applicable: head office sells online and does not serve.
    check(
        case(|c| c.card.sold_store = store("HQ")),
        "HQ",
        1,
        expect!["R3 store_not_applicable: not applicable at store HQ; may be redeemed at S1, S2 [S1 S2]"],
    );
    check(
        case(|c| terms(c).product_type = ProductType::StoredValue),
        "S1",
        1,
        expect!["R9 not_redeemable: stored value is not redeemed by unit []"],
    );
}

fn change(seq: i64, from: &str, added: &[&str], removed: &[&str]) -> ScopeChange {
    ScopeChange {
        effective_from: at(from),
        seq,
        added: stores(added),
        removed: stores(removed),
        applies_to_sold: true,
        binding: None,
    }
}

#[test]
fn r3_later_changes_widen_and_only_two_reasons_narrow() {
    let later = "2026-05-03T00:00:00+08:00";
    let usable = |changes: Vec<ScopeChange>| {
        let case = case(|c| c.changes = changes);
        let chain = Chain { cross_store: true, changes: &case.changes };
        where_usable(&case.card, chain, at(case.at)).stores.iter().map(StoreId::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(usable(vec![]), "S1 S2");
    assert_eq!(usable(vec![change(11, later, &["S3"], &[])]), "S1 S2 S3");
    assert_eq!(usable(vec![ScopeChange { applies_to_sold: false, ..change(11, later, &["S3"], &[]) }]), "S1 S2");
    assert_eq!(usable(vec![change(11, later, &[], &["S2"])]), "S1 S2");
    for reason in [NarrowReason::Closed, NarrowReason::CannotServe] {
        assert_eq!(usable(vec![ScopeChange { binding: Some(reason), ..change(11, later, &[], &["S2"]) }]), "S1");
    }
    // Not in force yet; in force and entered before the sale; entered before, in force since.
    assert_eq!(usable(vec![change(11, "2026-06-01T00:00:00+08:00", &["S3"], &[])]), "S1 S2");
    assert_eq!(usable(vec![change(9, "2026-04-01T00:00:00+08:00", &["S3"], &[])]), "S1 S2");
    assert_eq!(usable(vec![change(9, later, &["S3"], &[])]), "S1 S2 S3");
    // Closed and opened again.
    let closed = ScopeChange { binding: Some(NarrowReason::Closed), ..change(11, later, &[], &["S2"]) };
    assert_eq!(usable(vec![closed, change(12, "2026-05-04T00:00:00+08:00", &["S2"], &[])]), "S1 S2");
}

#[test]
fn r3_held_units_go_only_where_they_are_booked() {
    let held = |units: &'static str, booked: &'static str| {
        case(move |c| {
            c.card.units = Units::parse(units).unwrap();
            c.card.holds = vec![Hold { unit_ordinal: 2, booked_store: store(booked), booking_id: Id(99), start_at: None }];
        })
    };
    check(held("rha", "S2"), "S1", 1, expect!["#3 2->1 worth 3334; rhr"]);
    check(held("rha", "S2"), "S1", 2, expect!["R1 not_enough_units: 2 units wanted, 1 available [1 units]"]);
    check(held("rhr", "S2"), "S1", 1, expect!["R3 held_elsewhere: the units left are booked; may be redeemed at S2 [S2]"]);
    check(held("aha", "S2"), "S2", 2, expect!["#2 3->2 worth 3333 booked at S2 by 99, #1 2->1 worth 3333; rra"]);
    // Booked where the card is no longer applicable: the booking stands, other units don't go there.
    check(held("aha", "S3"), "S3", 1, expect!["#2 3->2 worth 3333 booked at S3 by 99; ara"]);
    check(held("aha", "S3"), "S3", 2, expect!["R1 not_enough_units: 2 units wanted, 1 available [1 units]"]);
}

#[test]
fn r5_validity_is_half_open_and_blackouts_are_tested() {
    let until = at("2026-05-06T15:00:00+08:00");
    let ends = |c: &mut Case| c.card.window.valid_until = Some(until);
    check(case(ends), "S1", 1, expect!["R5 expired: expired at 2026-05-06T07:00:00Z []"]);
    check(
        case(|c| {
            ends(c);
            c.at = "2026-05-06T14:59:59.999999+08:00";
        }),
        "S1",
        1,
        expect!["#1 3->2 worth 3333; raa until 2026-05-06T15:00:00+08:00"],
    );
    check(
        case(|c| c.at = "2026-05-01T11:59:59+08:00"),
        "S1",
        1,
        expect!["R5 not_yet_valid: valid only from 2026-05-01T04:00:00Z on [from 2026-05-01T12:00:00+08:00]"],
    );
    check(case(|c| c.at = "2026-05-01T12:00:00+08:00"), "S1", 1, expect!["#1 3->2 worth 3333; raa"]);
    let blackout = |c: &mut Case| {
        terms(c).blackouts = vec!["2026-02-10/2026-02-20".parse().unwrap(), "2026-05-05/2026-05-06".parse().unwrap()];
    };
    check(
        case(blackout),
        "S1",
        1,
        expect![
            "R5 blacked_out: not valid from 2026-05-05 to 2026-05-06; again from 2026-05-06T20:00:00Z on [from 2026-05-07T04:00:00+08:00]"
        ],
    );
    check(
        case(|c| {
            blackout(c);
            c.card.window.valid_until = Some(at("2026-05-07T04:00:00+08:00"));
        }),
        "S1",
        1,
        expect!["R5 blacked_out: not valid from 2026-05-05 to 2026-05-06 []"],
    );
    // Until 04:00 it still is the blacked-out day.
    check(
        case(|c| {
            blackout(c);
            c.at = "2026-05-07T03:59:00+08:00";
        }),
        "S1",
        1,
        expect![
            "R5 blacked_out: not valid from 2026-05-05 to 2026-05-06; again from 2026-05-06T20:00:00Z on [from 2026-05-07T04:00:00+08:00]"
        ],
    );
    check(
        case(|c| terms(c).validity = Validity::DaysFromFirstUse { days: 30 }),
        "S1",
        1,
        expect!["#1 3->2 worth 3333; raa until 2026-06-06T04:00:00+08:00"],
    );
    assert_eq!(Day::parse("2026-06-06").unwrap().0 - Day::parse("2026-05-06").unwrap().0, 31);
}

#[test]
fn r6_an_open_refund_request_blocks_the_order() {
    check(case(|c| c.card.refund_open = true), "S1", 1, expect!["R6 refund_open: a refund is requested for this order []"]);
}
