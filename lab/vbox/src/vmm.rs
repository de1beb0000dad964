//! VirtualBox's VMM: the functions that are called, with the types of VirtualBox's headers.
//!
//! | header | functions |
//! |---|---|
//! | iprt/initterm.h | `RTR3InitExe` |
//! | iprt/string.h | `RTStrPrintfV` |
//! | VBox/vmm/cfgm.h | `CFGMR3...` |
//! | VBox/vmm/pgm.h | `PGMPhysSimpleWriteGCPhys`, `PGMR3PhysReadExternal` |
//! | VBox/vmm/vmapi.h | `VMR3...` |
#![allow(unsafe_code, reason = "a library of C is called")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use serde_json::Value;

use crate::library::Library;

const RUNTIME: &CStr = c"/usr/lib/virtualbox/VBoxRT.so";
const VMM: &CStr = c"/usr/lib/virtualbox/VBoxVMM.so";
/// `RTR3INIT_FLAGS_SUPLIB`: open the kernel's module.
const OPEN_DRIVER: u32 = 1 << 16;
/// `SUPR3INIT_F_UNRESTRICTED`, in its place among those flags.
const UNRESTRICTED: u32 = 1 << 18;
/// `PGMACCESSORIGIN_DEBUGGER`: who reads memory.
const DEBUGGER: c_int = 4;
/// What an error's text may have.
const TEXT: usize = 1000;

/// `PUVM`, `PVM` and `PCFGMNODE`.
type Handle = *mut c_void;
type Constructor = extern "C" fn(Handle, Handle, *const c_void, *mut c_void) -> c_int;
type AtError = extern "C" fn(
    Handle,
    *mut c_void,
    c_int,
    *const c_char,
    c_uint,
    *const c_char,
    *const c_char,
    *mut c_void,
);
type Create = unsafe extern "C" fn(
    u32,
    *const c_void,
    u64,
    AtError,
    *mut c_void,
    Constructor,
    *mut c_void,
    *mut Handle,
    *mut Handle,
) -> c_int;

type Write = unsafe extern "C" fn(Handle, u64, *const c_void, usize) -> c_int;
type Read = unsafe extern "C" fn(Handle, u64, *mut c_void, usize, c_int) -> c_int;
/// What calls a function on a processor's thread: handle, number of the processor, function, how many
/// arguments it has, and these.
type Call = unsafe extern "C" fn(Handle, u32, Write, c_uint, ...) -> c_int;

/// The loaded VMM.
pub struct Vmm {
    create: Create,
    call: Call,
    write: Write,
    read: Read,
    power_on: unsafe extern "C" fn(Handle) -> c_int,
    state: unsafe extern "C" fn(Handle) -> c_int,
    state_name: unsafe extern "C" fn(c_int) -> *const c_char,
    tree: Tree,
    format: unsafe extern "C" fn(*mut c_char, usize, *const c_char, *mut c_void) -> usize,
}

/// What fills the tree of settings.
struct Tree {
    root: unsafe extern "C" fn(Handle) -> Handle,
    node: unsafe extern "C" fn(Handle, *const c_char, *mut Handle) -> c_int,
    integer: unsafe extern "C" fn(Handle, *const c_char, u64) -> c_int,
    string: unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int,
    bytes: unsafe extern "C" fn(Handle, *const c_char, *const c_void, usize) -> c_int,
}

impl Vmm {
    /// Loads the libraries and opens the kernel's module.
    ///
    /// # Errors
    /// A sentence.
    pub fn load() -> Result<Self, String> {
        let runtime = Library::load(RUNTIME)?;
        // SAFETY: the types are those of the headers above, here and below. An `int` is the status.
        let init: unsafe extern "C" fn(c_int, *mut *mut *mut c_char, u32) -> c_int =
            unsafe { runtime.function(c"RTR3InitExe") }?;
        let mut arguments = [c"vbox".as_ptr().cast_mut(), null_mut()];
        let mut arguments_at = arguments.as_mut_ptr();
        // SAFETY: there is one argument, and the array ends in NULL. Both outlive the call, and what
        // is kept of them is copied.
        let status = unsafe { init(1, &raw mut arguments_at, OPEN_DRIVER | UNRESTRICTED) };
        if status < 0 {
            return Err(format!("VirtualBox's driver cannot be opened: status {status}"));
        }
        let vmm = Library::load(VMM)?;
        // SAFETY: as above.
        unsafe {
            Ok(Self {
                create: vmm.function(c"VMR3Create")?,
                call: vmm.function(c"VMR3ReqCallWaitU")?,
                write: vmm.function(c"PGMPhysSimpleWriteGCPhys")?,
                read: vmm.function(c"PGMR3PhysReadExternal")?,
                power_on: vmm.function(c"VMR3PowerOn")?,
                state: vmm.function(c"VMR3GetStateU")?,
                state_name: vmm.function(c"VMR3GetStateName")?,
                tree: Tree {
                    root: vmm.function(c"CFGMR3GetRootU")?,
                    node: vmm.function(c"CFGMR3InsertNode")?,
                    integer: vmm.function(c"CFGMR3InsertInteger")?,
                    string: vmm.function(c"CFGMR3InsertString")?,
                    bytes: vmm.function(c"CFGMR3InsertBytes")?,
                },
                format: runtime.function(c"RTStrPrintfV")?,
            })
        }
    }
}

impl Tree {
    /// Puts a value below a node.
    fn insert(&self, node: Handle, name: &str, value: &Value) -> Result<(), String> {
        let name_c = CString::new(name).map_err(|error| error.to_string())?;
        let name_c = name_c.as_ptr();
        // SAFETY: the node is one of the tree, and names and values are valid for the call, which
        // copies them.
        let status = unsafe {
            match value {
                Value::Object(members) => {
                    let mut child = null_mut();
                    let status = (self.node)(node, name_c, &raw mut child);
                    if status >= 0 {
                        for (name, value) in members {
                            self.insert(child, name, value)?;
                        }
                    }
                    status
                }
                Value::String(text) => {
                    let text = CString::new(text.as_str()).map_err(|error| error.to_string())?;
                    (self.string)(node, name_c, text.as_ptr())
                }
                Value::Array(numbers) => {
                    let bytes: Vec<u8> =
                        numbers.iter().filter_map(Value::as_u64).map(|byte| byte as u8).collect();
                    (self.bytes)(node, name_c, bytes.as_ptr().cast(), bytes.len())
                }
                number => (self.integer)(node, name_c, number.as_u64().unwrap_or_default()),
            }
        };
        if status < 0 { Err(format!("the setting {name} is refused: {status}")) } else { Ok(()) }
    }
}

/// What the VMM's callbacks are given.
struct Context<'a> {
    vmm: &'a Vmm,
    settings: &'a Value,
    /// What they say.
    errors: std::sync::Mutex<Vec<String>>,
}

/// A virtual machine.
pub struct Machine<'a> {
    vmm: &'a Vmm,
    handle: Handle,
    /// The same, for functions that are not of the user's.
    vm: Handle,
    /// The VMM keeps a pointer to it.
    context: &'a Context<'a>,
}

impl<'a> Machine<'a> {
    /// Makes a machine.
    ///
    /// # Errors
    /// What VirtualBox says.
    pub fn new(vmm: &'a Vmm, settings: &'a Value) -> Result<Self, String> {
        let context: &Context =
            Box::leak(Box::new(Context { vmm, settings, errors: <_>::default() }));
        let user = std::ptr::from_ref(context).cast_mut().cast();
        let processors = settings["NumCPUs"].as_u64().unwrap_or(1) as u32;
        let (mut vm, mut handle) = (null_mut(), null_mut());
        // SAFETY: without methods of its user the VMM calls none. Both callbacks get `context`,
        // which is never freed.
        let status = unsafe {
            (vmm.create)(
                processors,
                std::ptr::null(),
                0,
                at_error,
                user,
                construct,
                user,
                &raw mut vm,
                &raw mut handle,
            )
        };
        let machine = Self { vmm, handle, vm, context };
        if status < 0 { Err(machine.complaint("make the machine", status)) } else { Ok(machine) }
    }

    /// Writes to its memory.
    ///
    /// # Errors
    /// What VirtualBox says.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), String> {
        /// Its first processor.
        const FIRST: u32 = 0;
        let Vmm { call, write, .. } = self.vmm;
        // SAFETY: both handles are of a machine that was made. The four arguments are those of the
        // function, and the call returns when it has.
        let status = unsafe {
            call(self.handle, FIRST, *write, 4, self.vm, address, bytes.as_ptr(), bytes.len())
        };
        if status < 0 { Err(self.complaint("write to memory", status)) } else { Ok(()) }
    }

    /// Reads its memory, from a thread that is none of its processors'. It may run meanwhile.
    ///
    /// # Errors
    /// What VirtualBox says.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), String> {
        let (to, length) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: the handle is of a machine that was made, and `bytes` has room for its length.
        let status = unsafe { (self.vmm.read)(self.vm, address, to, length, DEBUGGER) };
        if status < 0 { Err(self.complaint("read memory", status)) } else { Ok(()) }
    }

    /// Starts it.
    ///
    /// # Errors
    /// What VirtualBox says.
    pub fn power_on(&self) -> Result<(), String> {
        // SAFETY: the handle is of a machine that was made.
        let status = unsafe { (self.vmm.power_on)(self.handle) };
        if status < 0 { Err(self.complaint("start the machine", status)) } else { Ok(()) }
    }

    /// The name of its state.
    pub fn state(&self) -> String {
        // SAFETY: the handle is of a machine that was made, and the names are constants.
        let name = unsafe { CStr::from_ptr((self.vmm.state_name)((self.vmm.state)(self.handle))) };
        name.to_string_lossy().into_owned()
    }

    fn complaint(&self, what: &str, status: c_int) -> String {
        let said = self.context.errors.lock().map(|errors| errors.join(" ")).unwrap_or_default();
        format!("VirtualBox cannot {what}: {said} (status {status})")
    }
}

/// Fills the tree of settings.
extern "C" fn construct(handle: Handle, _: Handle, _: *const c_void, user: *mut c_void) -> c_int {
    /// `VERR_GENERAL_FAILURE`.
    const FAILED: c_int = -1;
    // SAFETY: it is what `Machine::new` gave.
    let context = unsafe { &*user.cast::<Context>() };
    let tree = &context.vmm.tree;
    // SAFETY: the VMM calls this while it makes the machine of the handle.
    let root = unsafe { (tree.root)(handle) };
    let all = context.settings.as_object().into_iter().flatten();
    match all.map(|(name, value)| tree.insert(root, name, value)).find_map(Result::err) {
        Some(why) => {
            context.errors.lock().map(|mut errors| errors.push(why)).ok();
            FAILED
        }
        None => 0,
    }
}

/// Takes down an error.
extern "C" fn at_error(
    _: Handle,
    user: *mut c_void,
    _: c_int,
    _: *const c_char,
    _: c_uint,
    _: *const c_char,
    format: *const c_char,
    arguments: *mut c_void,
) {
    // SAFETY: it is what `Machine::new` gave.
    let context = unsafe { &*user.cast::<Context>() };
    let mut text = vec![0u8; TEXT];
    // SAFETY: format and arguments come from the VMM, and fit each other. A `va_list` is passed as
    // a pointer on x86-64.
    unsafe { (context.vmm.format)(text.as_mut_ptr().cast(), TEXT, format, arguments) };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy();
    context.errors.lock().map(|mut errors| errors.push(text.into_owned())).ok();
}
