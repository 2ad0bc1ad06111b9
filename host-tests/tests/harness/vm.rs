//! A VM, driven callback by callback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_tests::module;
use host_tests::vm::{
    Action, CallAnswer, ContextId, Effect, Exchange, Headers, LocalReply, Plugin, PluginError,
    SharedExchange, Vm,
};
use host_tests::world::{Level, Step, World, WorldConfig};

fn world(config: WorldConfig) -> Arc<World> {
    World::load(&module::build("fixture-probe"), config).unwrap()
}

fn plugin(configuration: &str) -> Arc<Plugin> {
    Arc::new(Plugin {
        name: "probe".into(),
        root_id: "root".into(),
        configuration: configuration.into(),
    })
}

fn request(path: &str) -> SharedExchange {
    Exchange::of(Headers::from_iter([(":method", "GET"), (":path", path), (":authority", "a")]))
}

struct ProbeVm {
    world: Arc<World>,
    vm: Vm,
    root: ContextId,
}

fn probe(config: WorldConfig) -> ProbeVm {
    let world = world(config);
    let mut vm = Vm::new(&world, "vm").unwrap();
    let root = vm.add_plugin(&plugin("")).unwrap();
    ProbeVm { world, vm, root }
}

fn replied(probe: &mut ProbeVm, path: &str) -> LocalReply {
    let stream = probe.vm.open(probe.root, &request(path)).unwrap();
    assert_eq!(probe.vm.request_headers(stream, true), Ok(Action::Pause));
    match probe.vm.effects().pop() {
        Some(Effect::Reply { context, reply }) if context == stream => reply,
        other => panic!("no reply but {other:?}"),
    }
}

#[test]
fn a_plugin_that_refuses_its_configuration_says_so_in_the_log() {
    let world = world(WorldConfig::default());
    let mut vm = Vm::new(&world, "vm").unwrap();
    assert_eq!(vm.add_plugin(&plugin("refuse")), Err(PluginError::NotConfigured));
    let line = world.log.find(|line| line.level == Level::Error).unwrap();
    assert_eq!((line.vm.as_str(), line.message.as_str()), ("vm", "the configuration says refuse"));
}

#[test]
fn the_environment_reaches_the_module() {
    let environment = [("PROBE".to_owned(), "here".to_owned())].into();
    let probe = probe(WorldConfig { environment, ..WorldConfig::default() });
    assert!(probe.world.log.find(|line| line.message == "vm start here").is_some());
}

#[test]
fn a_trap_names_its_callback_and_leaves_the_vm_dead() {
    let mut probe = probe(WorldConfig::default());
    let stream = probe.vm.open(probe.root, &request("/do/trap")).unwrap();
    let trap = probe.vm.request_headers(stream, true).unwrap_err();
    assert_eq!((trap.vm.as_str(), trap.callback), ("vm", "proxy_on_request_headers"));
    assert!(trap.message.contains("a path says trap"), "{trap}");
    assert_eq!(probe.vm.tick(probe.root), Err(trap.clone()));
    assert_eq!(probe.world.traps(), [trap]);
}

#[test]
fn an_endless_loop_traps_when_its_fuel_is_used_up() {
    let mut probe = probe(WorldConfig { fuel: 10_000_000, ..WorldConfig::default() });
    let stream = probe.vm.open(probe.root, &request("/do/loop")).unwrap();
    let trap = probe.vm.request_headers(stream, true).unwrap_err();
    assert_eq!(trap.callback, "proxy_on_request_headers");
    assert!(trap.message.contains("fuel"), "{trap}");
}

#[test]
fn exiting_the_process_is_a_trap() {
    let mut probe = probe(WorldConfig::default());
    let stream = probe.vm.open(probe.root, &request("/do/exit")).unwrap();
    let trap = probe.vm.request_headers(stream, true).unwrap_err();
    assert!(trap.message.contains("proc_exit(3)"), "{trap}");
}

#[test]
fn header_values_are_bytes_and_a_string_getter_traps_on_them() {
    let mut probe = probe(WorldConfig::default());
    let exchange = request("/do/utf8");
    exchange.lock().unwrap().request_headers.as_mut().unwrap().add("x-bytes", b"\xff");
    let stream = probe.vm.open(probe.root, &exchange).unwrap();
    assert!(probe.vm.request_headers(stream, true).is_err());
}

#[test]
fn reading_the_requests_headers_in_a_response_callback_traps_as_in_envoy() {
    let mut probe = probe(WorldConfig::default());
    let exchange = request("/do/peek");
    let stream = probe.vm.open(probe.root, &exchange).unwrap();
    assert_eq!(probe.vm.request_headers(stream, true), Ok(Action::Continue));
    exchange.lock().unwrap().response_headers = Some(Headers::from_iter([(":status", "200")]));
    let trap = probe.vm.response_headers(stream, true).unwrap_err();
    assert!(trap.message.contains("unexpected status: 2"), "{trap}");
}

#[test]
fn a_local_reply_keeps_repeated_headers() {
    let reply = replied(&mut probe(WorldConfig::default()), "/do/headers");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers.all(b"x-twice").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(reply.body, b":method=GET\n:path=/do/headers\n:authority=a\n");
}

#[test]
fn the_module_sees_the_worlds_clock() {
    let mut probe = probe(WorldConfig::default());
    probe.world.clock.stop_at(Duration::from_secs(1234));
    assert_eq!(replied(&mut probe, "/do/now").body, b"1234");
    probe.world.clock.set_back(Duration::from_secs(234));
    assert_eq!(replied(&mut probe, "/do/now").body, b"1000");
}

#[test]
fn random_bytes_differ() {
    let mut probe = probe(WorldConfig::default());
    let mut other = Vm::new(&probe.world, "other").unwrap();
    let root = other.add_plugin(&plugin("")).unwrap();
    let first = replied(&mut probe, "/do/random").body;
    let mut probe = ProbeVm { vm: other, root, ..probe };
    assert_ne!(replied(&mut probe, "/do/random").body, first);
}

#[test]
fn properties_come_in_envoys_encoding() {
    let mut probe = probe(WorldConfig { vm_id: "v".into(), ..WorldConfig::default() });
    let mut property = |name: &str| {
        let body = replied(&mut probe, &format!("/do/property/{name}")).body;
        String::from_utf8(body).unwrap()
    };
    assert_eq!(property("request.method"), "GET");
    assert_eq!(property("request.path"), "/do/property/request.path");
    assert_eq!(property("request.headers.:authority"), "a");
    assert_eq!(property("request.headers.host"), "a");
    assert_eq!(property("node.id"), "none");
    assert_eq!(property("plugin_root_id"), "root");
    assert_eq!(property("plugin_vm_id"), "v");
    assert_eq!(property("xds.node.id"), "test-node");
    assert_eq!(property("request.total_size"), "57");
    assert_eq!(property("response.code"), "none");
    assert_eq!(property("request.duration"), "none");
}

#[test]
fn calls_to_unknown_or_empty_clusters_fail_at_once_and_leave_nothing_to_do() {
    let clusters = [("homeless".to_owned(), vec![])].into();
    let mut probe = probe(WorldConfig { clusters, ..WorldConfig::default() });
    assert_eq!(replied(&mut probe, "/do/nowhere").body, b"refused: BadArgument");
    assert_eq!(replied(&mut probe, "/do/homeless").body, b"refused: InternalFailure");
    assert_eq!(probe.vm.effects(), []);
}

#[test]
fn an_answer_reaches_the_stream_that_called() {
    let address = "127.0.0.1:1".parse().unwrap();
    let clusters = [("upstream".to_owned(), vec![address])].into();
    let mut probe = probe(WorldConfig { clusters, ..WorldConfig::default() });
    let stream = probe.vm.open(probe.root, &request("/do/call/x")).unwrap();
    assert_eq!(probe.vm.request_headers(stream, true), Ok(Action::Pause));
    let Some(Effect::Call(call)) = probe.vm.effects().pop() else { panic!("no call") };
    assert_eq!((call.root, call.cluster.as_str()), (probe.root, "upstream"));
    assert_eq!(call.timeout, Some(Duration::from_millis(500)));
    let answer = CallAnswer {
        headers: Headers::from_iter([(":status", "200")]),
        body: b"resume".to_vec(),
        ..CallAnswer::default()
    };
    probe.vm.http_call_response((call.root, call.token), Some(answer)).unwrap();
    let direction = host_tests::vm::Direction::Request;
    assert_eq!(probe.vm.effects(), [Effect::Resume { context: stream, direction }]);
}

#[test]
fn the_answer_to_a_stream_that_is_gone_is_dropped() {
    let address = "127.0.0.1:1".parse().unwrap();
    let clusters = [("upstream".to_owned(), vec![address])].into();
    let mut probe = probe(WorldConfig { clusters, ..WorldConfig::default() });
    let stream = probe.vm.open(probe.root, &request("/do/call/x")).unwrap();
    probe.vm.request_headers(stream, true).unwrap();
    let Some(Effect::Call(call)) = probe.vm.effects().pop() else { panic!("no call") };
    probe.vm.close(stream).unwrap();
    probe.vm.http_call_response((call.root, call.token), None).unwrap();
    assert_eq!(probe.vm.effects(), []);
}

#[test]
fn a_writer_that_loses_a_conflict_retries_and_nothing_is_lost() {
    let mut first = probe(WorldConfig::default());
    let mut other = Vm::new(&first.world, "other").unwrap();
    let root = other.add_plugin(&plugin("")).unwrap();
    let other = Mutex::new(Some((other, root)));
    first.world.before_each_host_call(move |call| {
        // The other VM adds between the read and the write of this one.
        let between = call.vm == "vm" && call.name == "proxy_set_shared_data";
        if between && let Some((mut vm, root)) = other.lock().unwrap().take() {
            assert_eq!(call.key, Some(&b"sum"[..]));
            let stream = vm.open(root, &request("/do/add/sum")).unwrap();
            vm.request_headers(stream, true).unwrap();
        }
        Step::Proceed
    });
    // The key exists. The CAS number of a missing key would be ignored.
    first.world.shared.write(b"sum", &5_u64.to_le_bytes(), 0).unwrap();
    assert_eq!(replied(&mut first, "/do/add/sum").body, b"1");
    assert_eq!(first.world.shared.value(b"sum").unwrap().0, 7_u64.to_le_bytes());
}

#[test]
fn a_hook_kills_a_vm_at_a_host_call() {
    let mut probe = probe(WorldConfig::default());
    probe.world.before_each_host_call(|call| match call.name {
        "proxy_set_shared_data" => Step::Trap,
        _ => Step::Proceed,
    });
    let stream = probe.vm.open(probe.root, &request("/do/add/sum")).unwrap();
    let trap = probe.vm.request_headers(stream, true).unwrap_err();
    assert_eq!(trap.message, "killed before proxy_set_shared_data");
    assert!(probe.world.shared.value(b"sum").is_none());
}

#[test]
fn the_cost_of_a_callback_is_counted_and_repeatable() {
    let mut probe = probe(WorldConfig::default());
    let mut cost = || {
        let before = probe.vm.counts();
        replied(&mut probe, "/do/property/request.method");
        probe.vm.counts().since(&before).of("proxy_on_request_headers")
    };
    cost();
    let (second, third) = (cost(), cost());
    assert_eq!(second.runs, 1);
    assert!(second.fuel > 100, "{}", second.fuel);
    assert_eq!(second.fuel, third.fuel);
    assert_eq!(second.calls(), 3);
    assert_eq!(second.calls_that_returned_bytes(), 2);
    let path = "/do/property/request.method".len() as u64;
    assert_eq!(second.bytes_in, path + "GET".len() as u64);
}

#[test]
fn an_access_logger_is_called_on_its_root_and_can_read_the_exchange() {
    let mut probe = probe(WorldConfig::default());
    let exchange = request("/logged");
    exchange.lock().unwrap().facts.code = Some(418);
    probe.vm.log_at_root(probe.root, &exchange).unwrap();
    let line = "access Some(\"/logged\") Some(418)";
    assert!(probe.world.log.find(|have| have.message == line).is_some());
}

#[test]
fn an_empty_filter_runs_through_all_its_callbacks() {
    let world = World::load(&module::build("fixture-empty"), WorldConfig::default()).unwrap();
    let mut vm = Vm::new(&world, "vm").unwrap();
    let root = vm.add_plugin(&plugin("")).unwrap();
    let exchange = request("/");
    let stream = vm.open(root, &exchange).unwrap();
    assert_eq!(vm.request_headers(stream, true), Ok(Action::Continue));
    exchange.lock().unwrap().response_headers = Some(Headers::from_iter([(":status", "200")]));
    assert_eq!(vm.response_headers(stream, true), Ok(Action::Continue));
    vm.log(stream).unwrap();
    vm.close(stream).unwrap();
    assert_eq!(vm.counts().of("proxy_on_log").runs, 1);
    assert_eq!(vm.counts().of("proxy_on_delete").calls(), 0);
}
