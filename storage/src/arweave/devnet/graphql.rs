//! The GraphQL schema of Arweave gateways over the devnet's state.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use async_graphql::{Context, EmptyMutation, EmptySubscription, Enum, ID, InputObject, Object, Schema, SimpleObject};
use weft_protocol::{Id, b64};

use super::{
    chain::Block as ChainBlock,
    fresh::Asked,
    node::Node,
    query::{self, Filter, Lists, Page, TagMatch, TooMuch},
    record::Record,
    state::State,
};

/// Winston per AR.
const AR: u128 = 1_000_000_000_000;

pub(super) type Gql = Schema<Query, EmptyMutation, EmptySubscription>;

/// What questions are answered from.
pub(super) enum Source {
    /// A devnet's whole state.
    Devnet(Arc<Node>),
    /// A node's newest items.
    Fresh(Arc<RwLock<State>>),
}

impl Source {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        match self {
            Self::Devnet(node) => node.read(),
            Self::Fresh(state) => state.read().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The schema over a source; deep or huge questions are refused. Every request brings its own [`Lists`].
pub(super) fn schema(source: Source) -> Gql {
    Schema::build(Query, EmptyMutation, EmptySubscription).data(source).limit_depth(24).limit_complexity(2000).finish()
}

pub(super) struct Query;

/// A filter on one tag name; several are all to hold.
#[derive(InputObject)]
pub(super) struct TagFilter {
    name: String,
    /// Any of these.
    values: Vec<String>,
    #[graphql(default)]
    op: TagOperator,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum TagOperator {
    #[default]
    Eq,
    Neq,
}

/// Heights, both included.
#[derive(InputObject, Default)]
pub(super) struct BlockFilter {
    min: Option<u64>,
    max: Option<u64>,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortOrder {
    HeightAsc,
    HeightDesc,
}

#[derive(SimpleObject)]
pub(super) struct PageInfo {
    has_next_page: bool,
}

#[derive(SimpleObject)]
pub(super) struct TransactionConnection {
    page_info: PageInfo,
    edges: Vec<TransactionEdge>,
}

#[derive(SimpleObject)]
pub(super) struct TransactionEdge {
    cursor: String,
    node: Transaction,
}

#[derive(SimpleObject)]
pub(super) struct BlockConnection {
    page_info: PageInfo,
    edges: Vec<BlockEdge>,
}

#[derive(SimpleObject)]
pub(super) struct BlockEdge {
    cursor: String,
    node: Block,
}

#[derive(SimpleObject, Clone)]
pub(super) struct Block {
    id: ID,
    /// Seconds since 1970.
    timestamp: u64,
    height: u64,
    previous: ID,
}

#[derive(SimpleObject)]
pub(super) struct Owner {
    address: String,
    /// The public key, base64url.
    key: String,
}

#[derive(SimpleObject)]
pub(super) struct Amount {
    winston: String,
    ar: String,
}

#[derive(SimpleObject)]
pub(super) struct MetaData {
    size: String,
    #[graphql(name = "type")]
    kind: Option<String>,
}

#[derive(SimpleObject, Clone)]
pub(super) struct Tag {
    name: String,
    value: String,
}

#[derive(SimpleObject)]
pub(super) struct Parent {
    id: ID,
}

/// A transaction or a data item.
pub(super) struct Transaction {
    id: Id,
    body: Box<Body>,
}

/// What is copied out of the state, so that no lock is held while the answer is written.
struct Body {
    anchor: String,
    signature: String,
    recipient: String,
    owner: (String, String),
    money: (u128, u128),
    size: u64,
    tags: Vec<Tag>,
    block: Option<Block>,
    bundle: Option<Id>,
}

impl From<&ChainBlock> for Block {
    fn from(block: &ChainBlock) -> Self {
        Self {
            id: ID(block.hash.clone()),
            timestamp: block.timestamp,
            height: block.height,
            previous: ID(block.previous.clone()),
        }
    }
}

impl Transaction {
    fn new(record: &Record, state: &State) -> Self {
        let tags = record.tags.iter().map(|tag| Tag { name: tag.name.clone(), value: tag.value.clone() });
        let body = Body {
            anchor: record.header.anchor.clone(),
            signature: b64::encode(&record.header.signature),
            recipient: record.header.target.map(|target| target.to_string()).unwrap_or_default(),
            owner: (record.header.address.to_string(), b64::encode(&record.header.owner)),
            money: record.money.unwrap_or_default(),
            size: record.size,
            tags: tags.collect(),
            block: record.height.and_then(|height| state.block_at(height)).map(Block::from),
            bundle: record.parents.first().map(|(parent, _)| *parent),
        };
        Self { id: record.id, body: Box::new(body) }
    }
}

fn amount(winston: u128) -> Amount {
    Amount { winston: winston.to_string(), ar: format!("{}.{:012}", winston / AR, winston % AR) }
}

#[Object]
impl Transaction {
    async fn id(&self) -> ID {
        ID(self.id.to_string())
    }

    async fn anchor(&self) -> &str {
        &self.body.anchor
    }

    async fn signature(&self) -> &str {
        &self.body.signature
    }

    async fn recipient(&self) -> &str {
        &self.body.recipient
    }

    async fn owner(&self) -> Owner {
        Owner { address: self.body.owner.0.clone(), key: self.body.owner.1.clone() }
    }

    async fn fee(&self) -> Amount {
        amount(self.body.money.0)
    }

    async fn quantity(&self) -> Amount {
        amount(self.body.money.1)
    }

    async fn data(&self) -> MetaData {
        let kind = self.body.tags.iter().find(|tag| tag.name.eq_ignore_ascii_case("content-type"));
        MetaData { size: self.body.size.to_string(), kind: kind.map(|tag| tag.value.clone()) }
    }

    async fn tags(&self) -> &[Tag] {
        &self.body.tags
    }

    /// Null until it is mined.
    async fn block(&self) -> Option<Block> {
        self.body.block.clone()
    }

    /// The old name of `bundledIn`.
    async fn parent(&self) -> Option<Parent> {
        self.body.bundle.map(|id| Parent { id: ID(id.to_string()) })
    }

    /// The bundle that an item is in.
    async fn bundled_in(&self) -> Option<Parent> {
        self.body.bundle.map(|id| Parent { id: ID(id.to_string()) })
    }
}

/// A refusal that callers can tell from questions that this schema does not understand.
fn refused(why: TooMuch) -> async_graphql::Error {
    async_graphql::Error::new_with_source(why)
}

/// Counts a list that is asked for.
fn another_list(ctx: &Context<'_>) -> async_graphql::Result<()> {
    ctx.data::<Lists>()?.another().map_err(refused)
}

fn texts(ids: Vec<ID>) -> Vec<String> {
    ids.into_iter().map(|id| id.0).collect()
}

fn page(first: Option<i32>, after: Option<String>, sort: Option<SortOrder>) -> Page {
    Page { first, after: after.filter(|after| !after.is_empty()), ascending: sort == Some(SortOrder::HeightAsc) }
}

fn tag_match(filter: TagFilter) -> Result<TagMatch, TooMuch> {
    let values = query::bounded("values", Some(filter.values))?.into_iter().collect();
    Ok(TagMatch { name: filter.name, values, negated: filter.op == TagOperator::Neq })
}

fn tag_matches(tags: Option<Vec<TagFilter>>) -> Result<Vec<TagMatch>, TooMuch> {
    query::bounded("tags", tags)?.into_iter().map(tag_match).collect()
}

#[Object]
#[allow(clippy::too_many_arguments, reason = "the arguments are the public schema of Arweave gateways")]
impl Query {
    /// One transaction or item.
    async fn transaction(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Transaction>> {
        let state = ctx.data::<Source>()?.read();
        let record = id.parse::<Id>().ok().and_then(|id| state.records.get(&id));
        if let (Some(asked), Ok(id)) = (ctx.data_opt::<Asked>(), id.parse::<Id>()) {
            asked.note_id(id, record.is_some());
        }
        Ok(record.map(|record| Transaction::new(record, &state)))
    }

    /// Transactions and items, newest first unless told otherwise.
    async fn transactions(
        &self,
        ctx: &Context<'_>,
        ids: Option<Vec<ID>>,
        owners: Option<Vec<String>>,
        recipients: Option<Vec<String>>,
        tags: Option<Vec<TagFilter>>,
        bundled_in: Option<Vec<ID>>,
        block: Option<BlockFilter>,
        first: Option<i32>,
        after: Option<String>,
        sort: Option<SortOrder>,
    ) -> async_graphql::Result<TransactionConnection> {
        another_list(ctx)?;
        let bounds = block.unwrap_or_default();
        let mut filter = Filter {
            ids: query::ids("ids", ids.map(texts)).map_err(refused)?,
            owners: query::ids("owners", owners).map_err(refused)?,
            recipients: query::ids("recipients", recipients).map_err(refused)?,
            bundles: query::ids("bundledIn", bundled_in.map(texts)).map_err(refused)?,
            tags: tag_matches(tags).map_err(refused)?,
            min: bounds.min,
            max: bounds.max,
            skip: HashSet::new(),
        };
        let asked = ctx.data_opt::<Asked>();
        if let Some(asked) = asked {
            filter.skip = asked.skip(&filter);
        }
        let page = page(first, after, sort);
        let state = ctx.data::<Source>()?.read();
        let mut found = filter.find(&state, &page);
        if let Some(asked) = asked {
            asked.note(ctx.field().alias().unwrap_or("transactions"), &filter, &page, &mut found);
        }
        let (rows, has_next_page) = found;
        let edge = |(cursor, id): (String, Id)| {
            Some(TransactionEdge { cursor, node: Transaction::new(state.records.get(&id)?, &state) })
        };
        let edges = rows.into_iter().filter_map(edge).collect();
        Ok(TransactionConnection { page_info: PageInfo { has_next_page }, edges })
    }

    /// One block by its hash.
    async fn block(&self, ctx: &Context<'_>, id: Option<String>) -> async_graphql::Result<Option<Block>> {
        another_list(ctx)?;
        let state = ctx.data::<Source>()?.read();
        Ok(state.blocks.iter().find(|block| Some(&block.hash) == id.as_ref()).map(Block::from))
    }

    /// Blocks, newest first unless told otherwise.
    async fn blocks(
        &self,
        ctx: &Context<'_>,
        ids: Option<Vec<ID>>,
        height: Option<BlockFilter>,
        first: Option<i32>,
        after: Option<String>,
        sort: Option<SortOrder>,
    ) -> async_graphql::Result<BlockConnection> {
        another_list(ctx)?;
        let bounds = height.unwrap_or_default();
        let hashes = query::bounded("ids", ids.map(texts)).map_err(refused)?.into_iter().collect();
        let state = ctx.data::<Source>()?.read();
        let page = page(first, after, sort);
        let (rows, has_next_page) = query::blocks(&state, &hashes, (bounds.min, bounds.max), &page);
        let edge = |(cursor, height)| Some(BlockEdge { cursor, node: Block::from(state.block_at(height)?) });
        let edges = rows.into_iter().filter_map(edge).collect();
        Ok(BlockConnection { page_info: PageInfo { has_next_page }, edges })
    }
}
