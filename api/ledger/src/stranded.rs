//! Stranded holders (R3): who is left without any store once an applicable store is closed or can't serve any more.

use redemption::{EntitlementId, MemberId, OrderId, ProductId, UnitState, where_usable};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::entitlements::{self, TermsCache};
use crate::error::{Result, attempt};

/// Who holds units of a product that may be redeemed nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranded {
    /// How many entitlements.
    pub entitlements: usize,
    /// How many free units they have.
    pub units: i64,
    /// The first of them, as many as asked for.
    pub holders: Vec<StrandedHolder>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrandedHolder {
    /// The member, if known.
    pub member_id: Option<MemberId>,
    /// The order.
    pub order_id: OrderId,
    /// The entitlement.
    pub entitlement_id: EntitlementId,
    /// Free units.
    pub units: i32,
}

impl Ledger {
    /// Who holds unexpired free units of `product_id` that may be redeemed at no store now. It reads every entitlement of the
    /// product: to be asked after a list was narrowed, not by every till.
    pub async fn stranded(&self, product_id: &ProductId, limit: usize) -> Result<Stranded> {
        let (catalog, now) = (self.published().catalog.read().clone(), self.clock().now());
        let product_id = product_id.clone();
        self.read(move |conn| {
            let failed = attempt("look for stranded holders");
            // The terms are few; their product is in their JSON.
            let terms_ids: Vec<i64> = conn
                .prepare_cached("SELECT terms_id, body FROM terms")
                .and_then(|mut s| {
                    s.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(&failed)?
                .into_iter()
                .filter(|(_, body)| serde_json::from_str::<Product>(body).is_ok_and(|p| p.product_id == product_id))
                .map(|(id, _)| id)
                .collect();
            let mut terms = TermsCache::default();
            let mut stranded = Stranded::default();
            let mut last_order = None;
            for terms_id in terms_ids {
                let sql = "SELECT order_id FROM entitlements
                           WHERE terms_id = $1 AND total > redeemed + held + refund_open + refunded + expired
                             AND (valid_until IS NULL OR valid_until > $2) ORDER BY order_id";
                let mut statement = conn.prepare_cached(sql).map_err(&failed)?;
                let mut rows = statement.query(params![terms_id, now.0]).map_err(&failed)?;
                while let Some(row) = rows.next().map_err(&failed)? {
                    let order_id = OrderId(row.get(0).map_err(&failed)?);
                    if last_order.replace(order_id) == Some(order_id) {
                        continue;
                    }
                    let Some((_, lines)) = entitlements::read_order(conn, &mut terms, order_id)? else { continue };
                    for card in lines.iter().map(|line| &line.card).filter(|card| card.terms.product_id == product_id) {
                        let units = card.units.ordinals(UnitState::Available).count() as i32;
                        if units > 0 && where_usable(card, catalog.chain(&product_id, now), now).stores.is_empty() {
                            stranded.entitlements += 1;
                            stranded.units += i64::from(units);
                            if stranded.holders.len() < limit {
                                let (member_id, entitlement_id) = (card.member_id, card.id);
                                stranded.holders.push(StrandedHolder { member_id, order_id, entitlement_id, units });
                            }
                        }
                    }
                }
            }
            Ok(stranded)
        })
        .await
    }
}

#[derive(Deserialize)]
struct Product {
    product_id: ProductId,
}
