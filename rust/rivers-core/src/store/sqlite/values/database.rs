//! The tables of the values.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Weak};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, ToSql, Transaction, params};

use super::identity::Identities;
use super::pending::{Body, Entry, NONE, Nones, Partitions, Pending};
use crate::error::Error;
use crate::plan::codec;
use crate::space::{Selection, Space};
use crate::store::digest::digest;

/// Maximum size of the ranges of one row of `none`, in bytes.
const MAX_RANGES_BYTES: usize = 8_192;

/// Number of values that pruning reads at once.
const PAGE: i64 = 4_096;

/// What is stored for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// A pickled value.
    Inline(Vec<u8>),
    /// The number of a shared body.
    Shared(i64),
    None,
    /// A value that could not be stored.
    Lost,
    Missing,
}

/// A shared body.
pub(super) enum SharedBody {
    File(String),
    Bytes(Vec<u8>),
}

impl ToSql for Body {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        match self {
            Self::Inline(bytes) => bytes.to_sql(),
            Self::File(_) | Self::Lost => Ok(ToSqlOutput::Owned(Value::Null)),
        }
    }
}

/// Writes what is pending. Returns the files of large values that are no longer needed.
pub(super) fn write(
    transaction: &Transaction<'_>,
    pending: &Pending,
    known_space: &mut KnownSpace,
) -> Result<Vec<String>> {
    let mut writer = Writer::new(transaction, known_space);
    for nones in &pending.nones {
        writer.write_nones(nones)?;
    }
    writer.write_entries(&pending.entries)?;
    writer.replaced.sort_unstable();
    writer.replaced.dedup();
    drop_unused(transaction, &writer.replaced)
}

/// The space whose row was found last, with its digest and its id: to find a row, all labels are read.
#[derive(Debug, Default)]
pub(super) struct KnownSpace(Option<(Weak<Space>, i64, i64)>);

impl KnownSpace {
    fn id(&mut self, transaction: &Transaction<'_>, space: &Arc<Space>) -> Result<i64> {
        if let Some((known, digest, id)) = &self.0
            && Weak::as_ptr(known) == Arc::as_ptr(space)
        {
            // The transaction that added the row may have failed, and the file may be another one by now.
            let sql = "SELECT EXISTS (SELECT 1 FROM space WHERE id = ?1 AND digest = ?2)";
            let mut exists = transaction.prepare_cached(sql)?;
            if exists.query_row([id, digest], |row| row.get(0))? {
                return Ok(*id);
            }
        }
        let body = codec::encode_space(space)?;
        let digest = digest(&body);
        let known = transaction
            .prepare_cached("SELECT id FROM space WHERE digest = ?1 AND body = ?2")?
            .query_row(params![digest, body], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => transaction
                .prepare_cached("INSERT INTO space (digest, body) VALUES (?1, ?2)")?
                .insert(params![digest, body])?,
        };
        // The weak reference keeps the address from being that of another space.
        self.0 = Some((Arc::downgrade(space), digest, id));
        Ok(id)
    }
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    known_space: &'a mut KnownSpace,
    assets: HashMap<Arc<str>, Asset>,
    sources: HashMap<String, i64>,
    /// Shared bodies that some partition no longer has.
    replaced: Vec<i64>,
}

#[derive(Clone, Copy)]
struct Asset {
    id: i64,
    has_rows: bool,
    has_shared: bool,
}

/// A row to write: its asset, its identity, its source, which entry it is of, and its shared body.
type Row = (Asset, Vec<u8>, i64, usize, Option<i64>);

impl<'a> Writer<'a> {
    fn new(transaction: &'a Transaction<'a>, known_space: &'a mut KnownSpace) -> Self {
        Self {
            transaction,
            known_space,
            assets: HashMap::new(),
            sources: HashMap::new(),
            replaced: Vec::new(),
        }
    }

    fn asset(&mut self, name: &Arc<str>) -> Result<Asset> {
        if let Some(known) = self.assets.get(name) {
            return Ok(*known);
        }
        let transaction = self.transaction;
        transaction
            .prepare_cached("INSERT INTO asset (name) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([name])?;
        let found = transaction
            .prepare_cached(
                "SELECT id, EXISTS (SELECT 1 FROM value WHERE asset = asset.id),
                   EXISTS (SELECT 1 FROM shared)
                 FROM asset WHERE name = ?1",
            )?
            .query_row([name], |row| {
                Ok(Asset {
                    id: row.get(0)?,
                    has_rows: row.get(1)?,
                    has_shared: row.get(2)?,
                })
            })?;
        self.assets.insert(Arc::clone(name), found);
        Ok(found)
    }

    fn source(&mut self, backfill: &str) -> Result<i64> {
        if let Some(&known) = self.sources.get(backfill) {
            return Ok(known);
        }
        self.transaction
            .prepare_cached("INSERT INTO source (backfill) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([backfill])?;
        let id = self
            .transaction
            .prepare_cached("SELECT id FROM source WHERE backfill = ?1")?
            .query_row([backfill], |row| row.get(0))?;
        self.sources.insert(backfill.to_owned(), id);
        Ok(id)
    }

    /// Records `None` as ranges, or as rows where rows of other values exist: these go before ranges.
    fn write_nones(&mut self, nones: &Nones) -> Result<()> {
        let asset = self.asset(&nones.asset)?;
        let mut spaces: Vec<(&Arc<Space>, Vec<Range<u64>>)> = Vec::new();
        let mut add = |space, number| {
            let known = spaces.iter().position(|(own, _)| Arc::ptr_eq(own, space));
            let at = known.unwrap_or_else(|| {
                spaces.push((space, Vec::new()));
                spaces.len() - 1
            });
            match spaces[at].1.last_mut().filter(|last| last.end == number) {
                Some(last) => last.end += 1,
                None => spaces[at].1.push(number..number + 1),
            }
        };
        for run in nones.runs() {
            if nones.plan.run_len(run) == 1 {
                if let Some((space, number)) = nones.plan.only_partition(run) {
                    add(space, number);
                }
                continue;
            }
            let layer = &nones.plan.layers()[nones.plan.layer_of(run)];
            let space = layer.selection().space();
            nones
                .plan
                .run(run)
                .iter()
                .for_each(|number| add(space, number));
        }
        for (space, numbers) in spaces {
            let numbers = merged(numbers);
            if asset.has_rows {
                let identities = Identities::new(space);
                let source = self.source("")?;
                for number in numbers.into_iter().flatten() {
                    let body = Body::Inline(NONE.into());
                    self.put(asset, &identities.of(number), source, &body, None)?;
                }
                continue;
            }
            self.add_ranges(asset.id, space, &numbers)?;
        }
        Ok(())
    }

    fn add_ranges(&mut self, asset: i64, space: &Arc<Space>, added: &[Range<u64>]) -> Result<()> {
        let space = self.known_space.id(self.transaction, space)?;
        let latest: Option<(i64, Vec<u8>)> = self
            .transaction
            .prepare_cached(
                "SELECT id, partitions FROM none WHERE asset = ?1 AND space = ?2
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([asset, space], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((id, known)) = latest {
            let mut all = decode(&known)?;
            all.extend_from_slice(added);
            let all = encode(&merged(all))?;
            if all.len() <= MAX_RANGES_BYTES {
                let sql = "UPDATE none SET partitions = ?2 WHERE id = ?1";
                let mut update = self.transaction.prepare_cached(sql)?;
                return update.execute(params![id, all]).map(drop);
            }
        }
        let sql = "INSERT INTO none (asset, space, partitions) VALUES (?1, ?2, ?3)";
        let mut insert = self.transaction.prepare_cached(sql)?;
        insert.execute(params![asset, space, encode(added)?])?;
        Ok(())
    }

    fn write_entries(&mut self, entries: &[Entry]) -> Result<()> {
        // Rows in the order of the table touch each of its pages once. Of equal keys, the last one counts.
        let mut rows: Vec<Row> = Vec::with_capacity(entries.len());
        let mut identities: Option<(&Arc<Space>, Identities<'_>)> = None;
        for (at, entry) in entries.iter().enumerate() {
            let asset = self.asset(&entry.asset)?;
            let source = self.source(entry.source.backfill())?;
            let space = match &entry.partitions {
                Partitions::One(space, _) => space,
                Partitions::Several(selection) => selection.space(),
            };
            let (_, identities) = match &mut identities {
                Some(known) if Arc::ptr_eq(known.0, space) => known,
                other => other.insert((space, Identities::new(space))),
            };
            let several = matches!(&entry.partitions, Partitions::Several(all) if all.len() > 1);
            let shared = match &entry.body {
                Body::File(name) => Some(self.share(Some(name), None)?),
                Body::Inline(bytes) if several => Some(self.share(None, Some(bytes))?),
                Body::Inline(_) | Body::Lost => None,
            };
            match &entry.partitions {
                Partitions::One(_, number) => {
                    rows.push((asset, identities.of(*number), source, at, shared));
                }
                Partitions::Several(selection) => {
                    for number in selection.iter() {
                        rows.push((asset, identities.of(number), source, at, shared));
                    }
                }
            }
        }
        rows.sort_by(|a, b| (a.0.id, &a.1, a.3).cmp(&(b.0.id, &b.1, b.3)));
        for (asset, identity, source, at, shared) in &rows {
            self.put(*asset, identity, *source, &entries[*at].body, *shared)?;
        }
        Ok(())
    }

    fn share(&mut self, file: Option<&str>, body: Option<&[u8]>) -> Result<i64> {
        let sql = "INSERT INTO shared (file, body) VALUES (?1, ?2)";
        let mut insert = self.transaction.prepare_cached(sql)?;
        let id = insert.insert(params![file, body])?;
        for asset in self.assets.values_mut() {
            asset.has_shared = true;
        }
        // If no partition gets it, since each has a later value, nothing needs it.
        self.replaced.push(id);
        Ok(id)
    }

    fn put(
        &mut self,
        asset: Asset,
        identity: &[u8],
        source: i64,
        body: &Body,
        shared: Option<i64>,
    ) -> Result<()> {
        if asset.has_shared || shared.is_some() {
            let old: Option<i64> = self
                .transaction
                .prepare_cached(
                    "SELECT body FROM value WHERE asset = ?1 AND partition = ?2
                     AND typeof(body) = 'integer'",
                )?
                .query_row(params![asset.id, identity], |row| row.get(0))
                .optional()?;
            self.replaced.extend(old);
        }
        let sql = "INSERT OR REPLACE INTO value (asset, partition, source, body)
                   VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.transaction.prepare_cached(sql)?;
        match shared {
            Some(id) => insert.execute(params![asset.id, identity, source, id])?,
            None => insert.execute(params![asset.id, identity, source, body])?,
        };
        Ok(())
    }
}

/// Deletes those of the shared bodies that no partition has. Returns their files.
fn drop_unused(transaction: &Transaction<'_>, candidates: &[i64]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for id in candidates {
        let mut used = transaction.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM value WHERE body = ?1 AND typeof(body) = 'integer')",
        )?;
        if used.query_row([id], |row| row.get(0))? {
            continue;
        }
        let mut delete =
            transaction.prepare_cached("DELETE FROM shared WHERE id = ?1 RETURNING file")?;
        let file: Option<Option<String>> = delete.query_row([id], |row| row.get(0)).optional()?;
        files.extend(file.flatten());
    }
    Ok(files)
}

/// The numbers of these backfills, if they stored values.
pub(super) fn sources(connection: &Connection, backfills: &[String]) -> Result<HashSet<i64>> {
    let mut select = connection.prepare_cached("SELECT id FROM source WHERE backfill = ?1")?;
    let mut found = HashSet::new();
    for backfill in backfills {
        found.extend(
            select
                .query_row([backfill], |row| row.get::<_, i64>(0))
                .optional()?,
        );
    }
    Ok(found)
}

/// The ids of all sources.
pub(super) fn backfills(connection: &Connection) -> Result<Vec<String>> {
    let mut select = connection.prepare_cached("SELECT backfill FROM source")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// The names of all files of large values.
pub(super) fn files(connection: &Connection) -> Result<HashSet<String>> {
    let mut select = connection.prepare_cached("SELECT file FROM shared WHERE file IS NOT NULL")?;
    select.query_map([], |row| row.get(0))?.collect()
}

pub(super) fn delete_sources(transaction: &Transaction<'_>, sources: &HashSet<i64>) -> Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM source WHERE id = ?1")?;
    sources
        .iter()
        .try_for_each(|source| delete.execute([source]).map(drop))
}

/// The key of a value: its asset and its partition's identity.
pub(super) type ValueKey = (i64, Vec<u8>);

/// Of the values that follow `from`, a page: those of these sources, and where the next page begins.
pub(super) fn values_of(
    connection: &Connection,
    sources: &HashSet<i64>,
    from: &ValueKey,
) -> Result<(Vec<ValueKey>, Option<ValueKey>)> {
    let mut select = connection.prepare_cached(
        "SELECT asset, partition, source FROM value WHERE (asset, partition) > (?1, ?2)
         ORDER BY asset, partition LIMIT ?3",
    )?;
    let mut rows = select.query(params![from.0, from.1, PAGE])?;
    let (mut found, mut last, mut read) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        let key = (row.get(0)?, row.get(1)?);
        read += 1;
        if sources.contains(&row.get(2)?) {
            found.push(key.clone());
        }
        last = Some(key);
    }
    Ok((found, last.filter(|_| read == PAGE)))
}

/// Deletes those of the values that still come from these sources. Returns the files of large values that are no
/// longer needed.
pub(super) fn delete(
    transaction: &Transaction<'_>,
    sources: &HashSet<i64>,
    keys: &[ValueKey],
) -> Result<Vec<String>> {
    let mut select = transaction
        .prepare_cached("SELECT source FROM value WHERE asset = ?1 AND partition = ?2")?;
    let mut delete = transaction.prepare_cached(
        "DELETE FROM value WHERE asset = ?1 AND partition = ?2
         RETURNING CASE typeof(body) WHEN 'integer' THEN body END",
    )?;
    let mut replaced = Vec::new();
    for (asset, partition) in keys {
        let source = select.query_row(params![asset, partition], |row| row.get(0));
        if source
            .optional()?
            .is_some_and(|source: i64| sources.contains(&source))
        {
            let shared: Option<i64> =
                delete.query_row(params![asset, partition], |row| row.get(0))?;
            replaced.extend(shared);
        }
    }
    replaced.sort_unstable();
    replaced.dedup();
    drop_unused(transaction, &replaced)
}

/// The number of an asset; `None` if nothing is stored of it.
pub(super) fn asset_id(connection: &Connection, name: &str) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM asset WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The pickled value of an asset for one partition, if it is stored in its row: in one statement, since most are.
pub(super) fn load_inline(
    connection: &Connection,
    asset: &str,
    space: &Space,
    partition: u64,
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT body FROM value WHERE asset = (SELECT id FROM asset WHERE name = ?1)
               AND partition = ?2 AND typeof(body) = 'blob'";
    let mut select = connection.prepare_cached(sql)?;
    let identity = Identities::new(space).of(partition);
    let found = select.query_row(params![asset, identity], |row| row.get(0));
    found.optional()
}

/// What is stored of an asset for partitions of a space.
pub(super) fn load(
    connection: &Connection,
    asset: i64,
    space: &Space,
    numbers: impl Iterator<Item = u64>,
) -> Result<Vec<Stored>> {
    let identities = Identities::new(space);
    let mut nones: Option<NoneRanges> = None;
    let mut select =
        connection.prepare_cached("SELECT body FROM value WHERE asset = ?1 AND partition = ?2")?;
    let mut found = Vec::new();
    for number in numbers {
        let row = select
            .query_row(params![asset, identities.of(number)], |row| {
                Ok(match row.get_ref(0)? {
                    ValueRef::Blob(bytes) => Stored::Inline(bytes.to_vec()),
                    ValueRef::Integer(id) => Stored::Shared(id),
                    ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) => Stored::Lost,
                })
            })
            .optional()?;
        found.push(match row {
            Some(row) => row,
            None => {
                if nones.is_none() {
                    nones = Some(NoneRanges::read(connection, asset)?);
                }
                match &nones {
                    Some(nones) if nones.contain(space, number) => Stored::None,
                    _ => Stored::Missing,
                }
            }
        });
    }
    Ok(found)
}

/// A shared body by its number.
pub(super) fn shared(connection: &Connection, id: i64) -> Result<Option<SharedBody>> {
    connection
        .prepare_cached("SELECT file, body FROM shared WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(match row.get::<_, Option<String>>(0)? {
                Some(file) => SharedBody::File(file),
                None => SharedBody::Bytes(row.get(1)?),
            })
        })
        .optional()
}

/// The numbers of those partitions of a selection that have a value which can be loaded.
pub(super) fn available(
    connection: &Connection,
    asset: i64,
    selection: &Selection,
) -> Result<Vec<u64>> {
    let space = selection.space();
    let identities = Identities::new(space);
    let nones = NoneRanges::read(connection, asset)?;
    let mut select = connection
        .prepare_cached("SELECT body IS NOT NULL FROM value WHERE asset = ?1 AND partition = ?2")?;
    let mut found = Vec::new();
    for number in selection.iter() {
        let row: Option<bool> = select
            .query_row(params![asset, identities.of(number)], |row| row.get(0))
            .optional()?;
        if row.unwrap_or_else(|| nones.contain(space, number)) {
            found.push(number);
        }
    }
    Ok(found)
}

/// The numbers of those partitions of a selection whose latest value could not be stored.
pub(super) fn lost(connection: &Connection, asset: i64, selection: &Selection) -> Result<Vec<u64>> {
    let lost: HashSet<Vec<u8>> = connection
        .prepare_cached(
            "SELECT partition FROM value INDEXED BY value_lost WHERE asset = ?1 AND body IS NULL",
        )?
        .query_map([asset], |row| row.get(0))?
        .collect::<Result<_>>()?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let identities = Identities::new(selection.space());
    let is_lost = |&number: &u64| lost.contains(&identities.of(number));
    Ok(selection.iter().filter(is_lost).collect())
}

/// How many partitions of an asset have a value.
pub(super) fn count(connection: &Connection, asset: i64) -> Result<u64> {
    let values: u64 = connection
        .prepare_cached("SELECT count(*) FROM value WHERE asset = ?1 AND body IS NOT NULL")?
        .query_row([asset], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    let nones = NoneRanges::read(connection, asset)?;
    let ranges = nones.0.iter().flat_map(|(_, ranges)| ranges);
    Ok(values + ranges.map(|range| range.end - range.start).sum::<u64>())
}

/// The partitions of an asset whose value is `None`.
struct NoneRanges(Vec<(Arc<Space>, Vec<Range<u64>>)>);

impl NoneRanges {
    fn read(connection: &Connection, asset: i64) -> Result<Self> {
        let mut select = connection.prepare_cached(
            "SELECT space.id, space.body, none.partitions FROM none JOIN space ON space.id = none.space
             WHERE none.asset = ?1 ORDER BY space.id",
        )?;
        let mut rows = select.query([asset])?;
        let mut found: Vec<(i64, Arc<Space>, Vec<Range<u64>>)> = Vec::new();
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let ranges = decode(row.get_ref(2)?.as_blob()?)?;
            match found.last_mut().filter(|(known, _, _)| *known == id) {
                Some((_, _, known)) => known.extend(ranges),
                None => found.push((id, codec::decode_space(row.get_ref(1)?.as_blob()?)?, ranges)),
            }
        }
        let parts = found.into_iter();
        Ok(Self(
            parts
                .map(|(_, space, ranges)| (space, merged(ranges)))
                .collect(),
        ))
    }

    fn contain(&self, space: &Space, number: u64) -> bool {
        self.0.iter().any(|(known, ranges)| {
            space.same_partition(known, number).is_some_and(|number| {
                let at = ranges.partition_point(|range| range.end <= number);
                ranges.get(at).is_some_and(|range| range.start <= number)
            })
        })
    }
}

/// Ranges in order, without overlaps and without gaps of no width.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut().filter(|last| range.start <= last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => all.push(range),
        }
    }
    all
}

/// Ranges as distances: from the end of the one before, and to their own end.
fn encode(ranges: &[Range<u64>]) -> Result<Vec<u8>> {
    let mut end = 0;
    let mut distances = Vec::with_capacity(ranges.len());
    for range in ranges {
        distances.push((range.start - end, range.end - range.start));
        end = range.end;
    }
    postcard::to_stdvec(&distances).map_err(|error| damaged(&error))
}

fn decode(bytes: &[u8]) -> Result<Vec<Range<u64>>> {
    let distances: Vec<(u64, u64)> =
        postcard::from_bytes(bytes).map_err(|error| damaged(&error))?;
    let mut end: u64 = 0;
    Ok(distances
        .into_iter()
        .map(|(gap, length)| {
            let start = end.saturating_add(gap);
            end = start.saturating_add(length);
            start..end
        })
        .collect())
}

fn damaged(error: &dyn std::fmt::Display) -> rusqlite::Error {
    Error::Execution(format!("a stored set of partitions is damaged: {error}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_space_is_found_again_and_added_again_where_it_is_missing() {
        let mut connection = Connection::open_in_memory().expect("opens");
        let schema = include_str!("schema.sql");
        connection.execute_batch(schema).expect("has tables");
        let space = Space::unpartitioned();
        let mut known = KnownSpace::default();
        let mut id = |then: &str| {
            let transaction = connection.transaction().expect("begins");
            let id = known.id(&transaction, &space).expect("is found");
            let sql = "SELECT count(*) FROM space WHERE id = ?1";
            let count: i64 = { transaction.query_row(sql, [id], |row| row.get(0)) }.expect("reads");
            assert_eq!(count, 1);
            transaction.execute_batch(then).expect("writes");
            transaction.commit().expect("commits");
            id
        };
        // As if the transaction had not been there.
        id("DELETE FROM space");
        let added = id("");
        assert_eq!(id(""), added);
        // As if the file had been replaced.
        let replaced = format!("UPDATE space SET digest = digest + 1 WHERE id = {added}");
        id(&replaced);
        assert_ne!(id(""), added);
    }

    #[test]
    fn ranges_are_merged_and_stored_as_distances() {
        let found = [1..4, 7..8, 9..11];
        let bytes = encode(&found).expect("encodes");
        assert_eq!(decode(&bytes).expect("decodes"), found);
        assert_eq!(
            merged(vec![3..4, 1..2, 9..9, 2..3, 1..2, 9..10]),
            [1..4, 9..10]
        );
        assert_eq!(merged(vec![7..9, 12..13, 1..4, 3..7]), [1..9, 12..13]);
    }
}
