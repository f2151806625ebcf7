//! The OpenAPI document: what the routes' own descriptions leave out because it holds for all of them.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, ResponseBuilder, SecurityRequirement};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;

/// Name of the security scheme: a key as bearer token.
pub const KEY: &str = "key";

/// What stands below it is for producers who have no key yet.
const OPEN: &str = "/v1/schemas/";

/// Describes the whole.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    info(
        title = "Hexiao",
        description = "The redemption log (核销) of a chain of stores: sell, redeem, look up, and ask questions over everything.\n\n\
            Money is integer fen, 64-bit ids are strings, times are RFC 3339. Every problem is `application/problem+json` (RFC 9457). \
            Writes answer with `Hexiao-Position`; hand it back as `Hexiao-Wait-For` and the answer includes that write. Without it, \
            an answer includes all that was recorded when it was asked for."
    ),
    tags(
        (name = "till", description = "Selling, redeeming, looking up"),
        (name = "catalog", description = "What the chain is: stores, products, people, rules"),
        (name = "members", description = "Who holds the cards"),
        (name = "keys", description = "Who may do what"),
        (name = "answers", description = "Reports and SQL"),
        (name = "log", description = "The event log"),
        (name = "operation", description = "Whether it runs well")
    )
)]
pub struct Document;

/// Adds to every operation: the problem it may answer with, and the key it needs unless it is open to all.
pub fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(KEY, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (path, item) in &mut document.paths.paths {
        let open = !path.starts_with("/v1/") || path.starts_with(OPEN);
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        operations.into_iter().flatten().for_each(|operation| complete_operation(operation, open));
    }
    document
}

fn complete_operation(operation: &mut Operation, open: bool) {
    let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let response =
        ResponseBuilder::new().description("A problem: RFC 9457, `code` for programs, `rule` and `allowed` for refusals");
    operation.responses.responses.insert("default".into(), response.content("application/problem+json", problem).build().into());
    if !open {
        operation.security = Some(vec![SecurityRequirement::new(KEY, [""; 0])]);
    }
}
