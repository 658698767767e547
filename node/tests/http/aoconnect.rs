//! The real client, unmodified, from the npm registry.

use serde_json::{Value, json};
use weft_protocol::ans104::{Ed25519Signer, ItemBuilder};

use crate::{fake::Fake, npm};

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";

const SCRIPT: &str = r#"
import { generateKeyPairSync } from 'node:crypto';
import { connect, createDataItemSigner } from '@permaweb/aoconnect';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
const signer = createDataItemSigner(privateKey.export({ format: 'jwk' }));
const url = process.env.NODE_URL;
const ao = connect({ MODE: 'legacy', MU_URL: url, CU_URL: url, GATEWAY_URL: url });
const out = {};
const failed = async call => { try { return { value: await call() }; } catch (fault) { return { fault: fault.message }; } };

const tags = [{ name: 'Name', value: 'from the real client' }];
out.process = await ao.spawn({ module: process.env.MODULE, scheduler: process.env.SCHEDULER, signer, tags });
const process_ = out.process;
out.messages = [];
for (const data of ['one', 'two', 'three', undefined]) {
  out.messages.push(await ao.message({ process: process_, signer, data, tags: [{ name: 'Action', value: 'Say' }], anchor: '12345678901234567890123456789012' }));
}
out.results = [];
for (const message of out.messages) out.results.push(await ao.result({ process: process_, message }));
out.spawnResult = await ao.result({ process: process_, message: process_ });
out.all = await ao.results({ process: process_ });
out.firstPage = await ao.results({ process: process_, limit: 2 });
out.secondPage = await ao.results({ process: process_, limit: 2, from: out.firstPage.edges.at(-1).cursor });
out.newest = await ao.results({ process: process_, limit: 2, sort: 'DESC' });
out.feed = await ao.results({ process: process_, limit: 1000, from: out.newest.edges[0].cursor });
out.dryrun = await ao.dryrun({ process: process_, data: 'what if', tags: [{ name: 'Action', value: 'Info' }] });
out.assignment = await ao.assign({ process: process_, message: process.env.MODULE, baseLayer: false, exclude: ['Data', 'Tags'] });
out.assigned = await ao.result({ process: process_, message: out.assignment });
out.monitor = await failed(() => ao.monitor({ process: process_, signer }));
out.unmonitor = await failed(() => ao.unmonitor({ process: process_, signer }));
out.strangersMonitor = await failed(() => ao.monitor({ process: process.env.OTHER, signer }));
const signed = await ao.signMessage({ process: process_, signer, data: 'signed before', tags: [] });
out.signed = await ao.sendSignedMessage(signed);
out.unknownProcess = await failed(() => ao.message({ process: process.env.SCHEDULER, signer, data: 'x' }));
out.unknownResult = await failed(() => ao.result({ process: process_, message: process.env.SCHEDULER }));
console.log(JSON.stringify(out));
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_spawns_sends_reads_pages_and_tries() {
    let fake = Fake::new();
    let other = fake.spawn(&Ed25519Signer::from_seed([9; 32])).to_string();
    let module = ItemBuilder::new().data("wasm").sign(&Ed25519Signer::from_seed([3; 32])).unwrap().id().to_string();
    let open = fake.open().await;
    let (url, scheduler) = (open.url.clone(), fake.address().to_string());
    let out = tokio::task::spawn_blocking(move || {
        let folder = npm::installed("aoconnect", CLIENT);
        let variables = [("NODE_URL", &*url), ("MODULE", &module), ("SCHEDULER", &scheduler), ("OTHER", &other)];
        npm::run(&folder, "http-doors", SCRIPT, &variables)
    });
    let out: Value = serde_json::from_str(&out.await.unwrap()).unwrap();
    let said = |at: usize| &out["results"][at]["Output"]["data"];
    assert_eq!((said(0), said(1), said(2), said(3)), (&json!("ONE"), &json!("TWO"), &json!("THREE"), &json!(" ")));
    assert_eq!(out["spawnResult"]["Output"]["data"], " ");

    // The log has what the client says it sent, in its order.
    let process = out["process"].as_str().unwrap();
    let page = open.json(&format!("/{process}?process-id={process}")).await;
    let ids: Vec<&Value> =
        page["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]["message"]["id"]).collect();
    let sent = out["messages"].as_array().unwrap();
    assert_eq!(ids[0], &out["process"]);
    assert_eq!(ids[1..=4], sent.iter().collect::<Vec<_>>());
    assert_eq!(page["edges"][5]["node"]["message"], Value::Null);
    assert_eq!(page["edges"][5]["node"]["assignment"]["id"], out["assignment"]);
    assert_eq!(ids[6], &out["signed"]);
    assert_eq!(page["edges"][1]["node"]["message"]["anchor"], "12345678901234567890123456789012");
    assert_eq!(page["edges"][4]["node"]["message"]["data"], " ");

    let edges = |name: &str| out[name]["edges"].as_array().unwrap().clone();
    assert_eq!(edges("all").len(), 5);
    let joined: Vec<Value> = edges("firstPage").into_iter().chain(edges("secondPage")).collect();
    assert_eq!(joined, edges("all")[..4]);
    let newest: Vec<Value> = edges("newest").iter().map(|edge| edge["node"]["Output"]["data"].clone()).collect();
    assert_eq!(newest, [json!(" "), json!("THREE")]);
    assert_eq!(edges("feed"), Vec::<Value>::new());
    assert_eq!(out["dryrun"]["Output"]["data"], "what if");
    assert_eq!(out["assigned"]["Output"], "Data+Tags false");

    assert!(
        out["monitor"]["fault"].is_null() && out["unmonitor"]["fault"].is_null(),
        "{} {}",
        out["monitor"],
        out["unmonitor"]
    );
    assert!(out["strangersMonitor"]["fault"].as_str().unwrap().contains("403"), "{}", out["strangersMonitor"]);
    assert!(out["unknownProcess"]["fault"].as_str().unwrap().contains("404"), "{}", out["unknownProcess"]);
    assert!(out["unknownResult"]["value"]["error"].as_str().unwrap().contains("not known"), "{}", out["unknownResult"]);
}
