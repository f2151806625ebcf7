//! Reading orders: what a member has, and where it may be used (R3).

use event::{Id, Instant, Moment};
use redemption::{
    Blackout, Code, Counts, EntitlementId, Hold, MemberId, OrderId, Payment, ProductId, ProductType, QrFault, SaleKind,
    ScopeReason, StoreId, Units, Validity, qr_read, qr_token, where_usable,
};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::catalog::Catalog;
use crate::entitlements::{self, EntitlementRow, OrderRow, TermsCache};
use crate::error::{Result, attempt};

/// An order, as the till shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderDetail {
    /// The order.
    pub order_id: OrderId,
    /// The store that sold it.
    pub sold_store_id: StoreId,
    /// When, as that store's clock tells it.
    pub sold_at: Moment,
    /// Who bought it, if known.
    pub member_id: Option<MemberId>,
    /// The clerk at the till.
    pub clerk_id: Option<String>,
    /// Who gets the credit for the sale.
    pub seller_id: Option<String>,
    /// Where it came in.
    pub channel: String,
    /// Last four digits of its code (R10); `None` if it has none.
    pub code_last_four: Option<String>,
    /// Its lines.
    pub lines: Vec<LineDetail>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineDetail {
    /// What it gave.
    pub entitlement_id: EntitlementId,
    /// The product.
    pub product_id: ProductId,
    /// The version that was sold.
    pub product_version: i32,
    /// Its type.
    pub product_type: ProductType,
    /// What the sale is for accounting.
    pub sale_kind: SaleKind,
    /// What was paid for the line.
    pub payment: Payment,
    /// Its list price at the sale.
    pub list_price_fen: i64,
    /// Units by state.
    pub units: Counts,
    /// One letter per unit, by ordinal: a available, h held, r redeemed, q refund requested, f refunded, x expired.
    pub unit_states: Units,
    /// Bookings that hold some of them.
    pub holds: Vec<Hold>,
    /// How long it is valid.
    pub validity: Validity,
    /// First instant of validity.
    pub valid_from: Instant,
    /// End of validity, exclusive; `None` without end, or until the first use sets it.
    pub valid_until: Option<Instant>,
    /// Days on which it is not valid.
    pub blackouts: Vec<Blackout>,
    /// Where units that no booking holds may be redeemed today (R3).
    pub usable_store_ids: Vec<StoreId>,
    /// Why there.
    pub usable_because: ScopeReason,
    /// Applicable stores at the sale (R3).
    pub applicable_store_ids: Vec<StoreId>,
    /// Whether a refund request blocks redemption (R6).
    pub refund_open: bool,
}

impl Ledger {
    /// An order with its lines as of the last commit; `None` if there is no such order.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<OrderDetail>> {
        let (catalog, now) = (self.published().catalog.read().clone(), self.clock().now());
        self.read(move |conn| {
            let found = entitlements::read_order(conn, &mut TermsCache::default(), order_id)?;
            Ok(found.map(|(order, lines)| detail(&catalog, now, order, lines)))
        })
        .await
    }

    /// The order that an entitlement belongs to.
    pub async fn order_of(&self, entitlement_id: EntitlementId) -> Result<Option<OrderDetail>> {
        match self.read(move |conn| entitlements::order_of(conn, entitlement_id)).await? {
            Some(order_id) => self.order(order_id).await,
            None => Ok(None),
        }
    }

    /// The order a code stands for; `None` for an unknown or mistyped one. It counts no wrong codes: for whoever may look
    /// orders up anyway.
    pub async fn order_by_code(&self, code: &str) -> Result<Option<OrderDetail>> {
        let Ok(code) = Code::parse(code) else { return Ok(None) };
        let hash = code.hash(self.secret());
        let order_id = self
            .read(move |conn| {
                conn.prepare_cached("SELECT order_id FROM codes WHERE code_hash = $1")
                    .and_then(|mut s| s.query_row([hash.0], |row| row.get(0).map(OrderId)).optional())
                    .map_err(attempt("find a code"))
            })
            .await?;
        match order_id {
            Some(order_id) => self.order(order_id).await,
            None => Ok(None),
        }
    }

    /// The QR token of an order at this moment, for the member's own screen (R10).
    pub fn qr_token(&self, order_id: OrderId) -> String {
        qr_token(self.secret(), order_id, self.clock().now())
    }

    /// The order a QR token stands for, if it is one of ours and of this time.
    pub fn qr_order(&self, token: &str) -> Result<OrderId, QrFault> {
        qr_read(self.secret(), token, self.clock().now()).map(|token| token.order_id)
    }

    /// Ids of the redemptions that this ledger wrote for an entitlement, the latest first.
    pub async fn redemption_event_ids(&self, entitlement_id: EntitlementId) -> Result<Vec<Id>> {
        self.read(move |conn| {
            conn.prepare_cached("SELECT event_id FROM redemptions WHERE entitlement_id = $1 ORDER BY event_id DESC")
                .and_then(|mut s| s.query_map([entitlement_id.0], |row| row.get(0).map(Id))?.collect())
                .map_err(attempt("read redemptions"))
        })
        .await
    }
}

pub(crate) fn detail(catalog: &Catalog, now: Instant, order: OrderRow, lines: Vec<EntitlementRow>) -> OrderDetail {
    let line = |row: EntitlementRow| {
        let usable = where_usable(&row.card, catalog.chain(&row.card.terms.product_id, now), now);
        let card = row.card;
        LineDetail {
            entitlement_id: card.id,
            product_id: card.terms.product_id.clone(),
            product_version: card.terms.product_version,
            product_type: card.terms.product_type,
            sale_kind: card.terms.sale_kind,
            payment: card.payment,
            list_price_fen: row.list_price_fen,
            units: row.counts,
            unit_states: card.units,
            holds: card.holds,
            validity: card.terms.validity,
            valid_from: card.window.valid_from,
            valid_until: card.window.valid_until,
            blackouts: card.terms.blackouts.clone(),
            usable_store_ids: usable.stores.into_iter().collect(),
            usable_because: usable.because,
            applicable_store_ids: card.terms.applicable_stores.clone(),
            refund_open: card.refund_open,
        }
    };
    OrderDetail {
        order_id: order.order_id,
        sold_at: catalog.zone(&order.sold_store, now).moment(order.sold_at),
        sold_store_id: order.sold_store,
        member_id: order.member_id,
        clerk_id: order.clerk_id,
        seller_id: order.seller_id,
        channel: order.channel,
        code_last_four: order.last_four,
        lines: lines.into_iter().map(line).collect(),
    }
}
