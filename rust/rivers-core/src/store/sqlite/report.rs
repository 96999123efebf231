//! The table `report`: what users recorded about assets without running anything.

use rusqlite::{Connection, Result, Transaction, params};

use super::backfill::space_id;
use crate::backfill::Report;
use crate::store::encoding::{EncodedReport, decode_selection, report_kind, report_kind_code};

pub(super) fn insert(
    transaction: &Transaction<'_>,
    report: &Report,
    encoded: &EncodedReport,
) -> Result<()> {
    let space = space_id(transaction, &encoded.space)?;
    transaction
        .prepare_cached(
            "INSERT INTO report (asset, kind, at, space, partitions, code_version, metadata)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            report.asset,
            report_kind_code(report.kind),
            report.at,
            space,
            encoded.partitions,
            report.code_version,
            report.metadata,
        ])?;
    Ok(())
}

/// The reports about an asset, the newest first.
pub(super) fn select(connection: &Connection, asset: &str) -> Result<Vec<Report>> {
    let sql = "SELECT kind, at, body, partitions, code_version, metadata
               FROM report JOIN space ON space.id = space WHERE asset = ?1 ORDER BY report.id DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([asset], |row| {
        Ok(Report {
            asset: asset.to_owned(),
            kind: report_kind(row.get(0)?)?,
            at: row.get(1)?,
            selection: decode_selection(row.get_ref(2)?.as_blob()?, row.get_ref(3)?.as_blob()?)?,
            code_version: row.get(4)?,
            metadata: row.get(5)?,
        })
    })?;
    rows.collect()
}

pub(super) fn assets(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT DISTINCT asset FROM report ORDER BY asset")?
        .query_map([], |row| row.get(0))?
        .collect()
}
