//! The imports of ABI 0.2.1, as the Rust SDK 0.2.5 names them, and those of WASI that Rust's standard library may use.
//!
//! A row contains an import, the function that implements it, and the types that wasm passes.

use wasmtime::{Caller, ExternType, Linker, Module, Val};

use super::guest::{Guest, Status};
use super::state::State;
use super::{calls, general, maps, shared, wasi};

macro_rules! define {
    ($linker:ident, $module:literal: $($name:literal => $call:path, ($($argument:ident: $type:ty),*);)*) => {
        $($linker.func_wrap($module, $name, |caller: Caller<'_, State>, $($argument: $type),*| {
            Guest::serve(caller, $name, |guest| $call(guest, $($argument),*))
        })?;)*
    };
}

/// All that `module` may import. Any other import returns "unimplemented" when it is called.
pub(super) fn linker(module: &Module) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(module.engine());
    // Known imports are added last and replace the others.
    linker.allow_shadowing(true);
    link_unknown(&mut linker, module)?;
    link_proxy(&mut linker)?;
    link_wasi(&mut linker)?;
    Ok(linker)
}

#[rustfmt::skip]
fn link_proxy(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    define! { linker, "env":
        "proxy_log" => general::log, (level: u32, data: u32, size: u32);
        "proxy_get_log_level" => general::log_level, (level_at: u32);
        "proxy_get_current_time_nanoseconds" => general::now, (time_at: u32);
        "proxy_set_tick_period_milliseconds" => general::set_tick_period, (period: u32);
        "proxy_get_buffer_bytes" => general::buffer, (kind: u32, start: u32, size: u32, data_at: u32, size_at: u32);
        "proxy_set_buffer_bytes" => general::set_buffer, (kind: u32, start: u32, length: u32, data: u32, size: u32);
        "proxy_get_property" => general::property, (path: u32, size: u32, data_at: u32, size_at: u32);
        "proxy_set_property" => general::set_property, (path: u32, path_size: u32, data: u32, size: u32);
        "proxy_set_effective_context" => general::set_effective_context, (context: u32);
        "proxy_done" => general::done, ();
        "proxy_call_foreign_function" => general::foreign, (name: u32, size: u32, data: u32, data_size: u32, data_at: u32, size_at: u32);
        "proxy_get_header_map_pairs" => maps::pairs, (kind: u32, data_at: u32, size_at: u32);
        "proxy_set_header_map_pairs" => maps::set_pairs, (kind: u32, data: u32, size: u32);
        "proxy_get_header_map_size" => maps::size, (kind: u32, size_at: u32);
        "proxy_get_header_map_value" => maps::value, (kind: u32, name: u32, name_size: u32, data_at: u32, size_at: u32);
        "proxy_add_header_map_value" => maps::add, (kind: u32, name: u32, name_size: u32, data: u32, size: u32);
        "proxy_replace_header_map_value" => maps::replace, (kind: u32, name: u32, name_size: u32, data: u32, size: u32);
        "proxy_remove_header_map_value" => maps::remove, (kind: u32, name: u32, name_size: u32);
        "proxy_get_shared_data" => shared::value, (key: u32, key_size: u32, data_at: u32, size_at: u32, cas_at: u32);
        "proxy_set_shared_data" => shared::write, (key: u32, key_size: u32, data: u32, size: u32, cas: u32);
        "proxy_register_shared_queue" => shared::register_queue, (name: u32, size: u32, queue_at: u32);
        "proxy_resolve_shared_queue" => shared::resolve_queue, (vm: u32, vm_size: u32, name: u32, size: u32, queue_at: u32);
        "proxy_dequeue_shared_queue" => shared::dequeue, (queue: u32, data_at: u32, size_at: u32);
        "proxy_enqueue_shared_queue" => shared::enqueue, (queue: u32, data: u32, size: u32);
        "proxy_define_metric" => shared::define_metric, (kind: u32, name: u32, size: u32, metric_at: u32);
        "proxy_increment_metric" => shared::increment_metric, (metric: u32, by: i64);
        "proxy_record_metric" => shared::record_metric, (metric: u32, value: u64);
        "proxy_get_metric" => shared::metric, (metric: u32, value_at: u32);
        "proxy_continue_stream" => calls::continue_stream, (kind: u32);
        "proxy_close_stream" => calls::close_stream, (kind: u32);
        "proxy_send_local_response" => calls::reply, (status: u32, details: u32, details_size: u32, data: u32, size: u32, headers: u32, headers_size: u32, grpc: u32);
        "proxy_http_call" => calls::http, (cluster: u32, cluster_size: u32, headers: u32, headers_size: u32, data: u32, size: u32, trailers: u32, trailers_size: u32, timeout: u32, token_at: u32);
        "proxy_get_status" => calls::status, (code_at: u32, data_at: u32, size_at: u32);
    }
    Ok(())
}

#[rustfmt::skip]
fn link_wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    define! { linker, "wasi_snapshot_preview1":
        "clock_time_get" => wasi::clock_time, (clock: u32, precision: u64, time_at: u32);
        "clock_res_get" => wasi::clock_resolution, (clock: u32, resolution_at: u32);
        "random_get" => wasi::random, (at: u32, size: u32);
        "environ_sizes_get" => wasi::environment_sizes, (count_at: u32, size_at: u32);
        "environ_get" => wasi::environment, (pointers_at: u32, texts_at: u32);
        "args_sizes_get" => wasi::no_arguments, (count_at: u32, size_at: u32);
        "args_get" => wasi::arguments, (pointers_at: u32, texts_at: u32);
        "fd_write" => wasi::write, (file: u32, pieces: u32, count: u32, written_at: u32);
        "sched_yield" => wasi::yield_now, ();
    }
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", wasi::exit)?;
    Ok(())
}

fn link_unknown(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports() {
        let ExternType::Func(of) = import.ty() else { continue };
        let status = match import.module() {
            "env" => Status::Unimplemented as i32,
            _ => wasi::NOT_SUPPORTED,
        };
        linker.func_new(import.module(), import.name(), of, move |_, _, results| {
            for result in results {
                *result = Val::I32(status);
            }
            Ok(())
        })?;
    }
    Ok(())
}
