//! Makes a module trap on request: rewrites the module that `make wasm` built, so that a test can kill its VM on real Envoy.
//!
//! Every import of the proxy-wasm ABI gets a wrapper, and the module calls the wrapper instead. Once a VM has read a header
//! value of [`TRIGGER_BYTES`]` + n` bytes, it traps when the n-th host call after that returns. All code between host calls
//! is the module's own, so the VM dies with whatever that code left unfinished.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
    InstructionSink, MemArg, MemArgTarget, Module, ValType,
};
use wasmparser::{
    CodeSectionReader, FuncType, FunctionSectionReader, GlobalSectionReader, Parser, Payload,
    TypeRef,
};

/// The length of a header value whose reading is the VM's last host call.
pub const TRIGGER_BYTES: usize = 4_000;

/// The number of further host calls that a header may allow. A longer value has no effect.
pub const MAX_CALLS: usize = 32;

/// The call that reads a header, and the index of the parameter that points to the length.
const READS: (&str, u32) = ("proxy_get_header_map_value", 4);

/// Writes a copy of `module` that traps on request to `to`.
///
/// # Panics
/// If `module` is not a readable wasm module, or `to` cannot be written.
pub fn write(module: &Path, to: &Path) {
    let bytes = fs::read(module).expect("a module");
    let mut injector = Injector::of(&bytes);
    let mut trapping = Module::new();
    injector
        .parse_core_module(&mut trapping, Parser::new(0), &bytes)
        .expect("a module as wasm-ld writes it");
    fs::write(to, trapping.finish()).expect("a writable file for the module");
}

/// Inserts the wrappers between the module and its host.
struct Injector {
    wrappers: Vec<Wrapper>,
    /// The function index of the wrapper of each import.
    by_import: HashMap<u32, u32>,
    /// The global with the number of host calls that are left, plus one; 0 while no trap is due.
    left: u32,
}

struct Wrapper {
    import: u32,
    type_index: u32,
    parameters: u32,
    /// The parameter that points to the length of a header value.
    length_at: Option<u32>,
}

impl Injector {
    fn of(module: &[u8]) -> Self {
        let (mut types, mut functions, mut globals) = (Vec::new(), 0, 0);
        let mut wrappers = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload.expect("a module") {
                Payload::TypeSection(section) => {
                    types = section.into_iter_err_on_gc_types().map(Result::unwrap).collect();
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.expect("an import");
                        let TypeRef::Func(type_index) = import.ty else { continue };
                        if import.name.starts_with("proxy_") {
                            wrappers.push(wrapper(functions, type_index, import.name, &types));
                        }
                        functions += 1;
                    }
                }
                Payload::FunctionSection(section) => functions += section.count(),
                Payload::GlobalSection(section) => globals = section.count(),
                _ => {}
            }
        }
        let numbers = functions..;
        let by_import = wrappers.iter().map(|wrapper: &Wrapper| wrapper.import).zip(numbers);
        Self { by_import: by_import.collect(), wrappers, left: globals }
    }
}

fn wrapper(import: u32, type_index: u32, name: &str, types: &[FuncType]) -> Wrapper {
    let parameters = types[type_index as usize].params().len();
    Wrapper {
        import,
        type_index,
        parameters: u32::try_from(parameters).expect("few parameters"),
        length_at: (name == READS.0).then_some(READS.1),
    }
}

impl Wrapper {
    /// The code of the wrapper. Every call of the ABI returns its status as an `i32`.
    fn body(&self, left: u32) -> Function {
        let status = self.parameters;
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        (0..self.parameters).for_each(|parameter| {
            code.local_get(parameter);
        });
        code.call(self.import).local_set(status);
        if let Some(length_at) = self.length_at {
            arm_by_length(&mut code, length_at, left);
        }
        code.global_get(left).if_(BlockType::Empty);
        code.global_get(left).i32_const(1).i32_sub().global_set(left);
        code.global_get(left).i32_eqz().if_(BlockType::Empty).unreachable().end();
        code.end();
        code.local_get(status).end();
        function
    }
}

/// If the length is in the trigger range, sets the number of host calls that are left, this one included.
fn arm_by_length(code: &mut InstructionSink<'_>, length_at: u32, left: u32) {
    let length = MemArg { offset: 0, align: 2, target: MemArgTarget::Memory(0), ordering: None };
    let beyond = |code: &mut InstructionSink<'_>| {
        code.local_get(length_at).i32_load(length).i32_const(TRIGGER_BYTES as i32).i32_sub();
    };
    beyond(code);
    code.i32_const(MAX_CALLS as i32).i32_lt_u().if_(BlockType::Empty);
    beyond(code);
    code.i32_const(1).i32_add().global_set(left);
    code.end();
}

impl Reencode for Injector {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(self.by_import.get(&function).copied().unwrap_or(function))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_function_section(self, functions, section)?;
        for wrapper in &self.wrappers {
            functions.function(wrapper.type_index);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_global_section(self, globals, section)?;
        let counter = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(counter, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_code_section(self, code, section)?;
        for wrapper in &self.wrappers {
            code.function(&wrapper.body(self.left));
        }
        Ok(())
    }
}
