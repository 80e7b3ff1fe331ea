//! Every sell price that ever was, so that any bill can be recomputed.

use super::{bytes, to_database, unreadable};
use crate::errors::Failure;
use domain::snapshot::SellPrice;
use prost::Message;
use proto::convert::feed::{sell_price_from_proto, sell_price_to_proto};
use proto::feed::v1;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use storage::Insert;

const TABLE: &str = "price";
const PRICE: Insert =
    Insert::into(TABLE, &["revision", "model", "upstream", "entity", "audience", "org", "body"]);

/// Writes down prices with the model and upstream that they are for.
pub(crate) async fn append_prices(
    connection: &mut AnyConnection,
    prices: &[(&str, &str, &SellPrice)],
) -> Result<(), Failure> {
    PRICE
        .rows(connection, prices, |statement, (model, upstream, price)| {
            statement
                .bind(to_database(price.revision))
                .bind((*model).to_owned())
                .bind((*upstream).to_owned())
                .bind(price.entity.clone())
                .bind(price.audience.clone())
                .bind(price.org.clone().unwrap_or_default())
                .bind(hex::encode(sell_price_to_proto(price).encode_to_vec()))
        })
        .await?;
    Ok(())
}

/// The newest of each price, with its model and upstream.
pub(crate) async fn latest_prices(
    connection: &mut AnyConnection,
) -> Result<Vec<(String, String, SellPrice)>, Failure> {
    let rows = sqlx::query(
        "SELECT price.model AS model, price.upstream AS upstream, price.body AS body
         FROM price JOIN (
             SELECT model, upstream, entity, audience, org, MAX(revision) AS revision FROM price
             GROUP BY model, upstream, entity, audience, org
         ) AS latest
         ON price.model = latest.model AND price.upstream = latest.upstream
             AND price.entity = latest.entity AND price.audience = latest.audience
             AND price.org = latest.org AND price.revision = latest.revision",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<(String, String, SellPrice), Failure> {
    let model: String = row.try_get("model")?;
    let upstream: String = row.try_get("upstream")?;
    let path = format!("{model} on {upstream}");
    let body: String = row.try_get("body")?;
    let price = v1::SellPrice::decode(bytes(TABLE, &path, &body)?.as_slice())
        .map_err(|wrong| unreadable(TABLE, &path, wrong))?;
    let price = sell_price_from_proto(price).map_err(|wrong| unreadable(TABLE, &path, wrong))?;
    Ok((model, upstream, price))
}
