//! Mapped files that other programs may truncate.
//!
//! Whoever touches a page behind the end of a mapped file gets a `SIGBUS`, which ends the process. SQLite maps the
//! index of its log (`-shm`), and looking at its size before each operation does not help against a program that
//! truncates it *within* one. So the signal is handled: memory of the process's own takes the place of all that is
//! mapped of the file. What SQLite finds there is wrong from then on, so that the file counts as lost until the
//! process ends: `system_calls` lets nothing be written or removed beside a lost file, and each operation fails.
//!
//! A bus error at any other address is passed to the handler that was there before, or ends the process as usual. If
//! the program sets a handler of its own later, that one decides, and a truncated index ends the process again.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

/// How many mappings are watched; each of an index has 32 KiB, for 16 MB of a log.
const MAX_REGIONS: usize = 1024;

/// Memory that a file is mapped to. The handler reads it while others change it: `start` is set last and cleared first.
struct Region {
    start: AtomicUsize,
    length: AtomicUsize,
    device: AtomicU64,
    number: AtomicU64,
    /// The process that mapped it: a forked child does not have it.
    process: AtomicI32,
    lost: AtomicBool,
}

static REGIONS: [Region; MAX_REGIONS] = [const {
    Region {
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
        device: AtomicU64::new(0),
        number: AtomicU64::new(0),
        process: AtomicI32::new(0),
        lost: AtomicBool::new(false),
    }
}; MAX_REGIONS];
/// Held while regions are added and removed.
static CHANGES: Mutex<()> = Mutex::new(());
static IS_ANY_LOST: AtomicBool = AtomicBool::new(false);
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

impl Region {
    fn is_of(&self, device: u64, number: u64, process: i32) -> bool {
        self.process.load(Ordering::Relaxed) == process
            && self.device.load(Ordering::Relaxed) == device
            && self.number.load(Ordering::Relaxed) == number
    }
}

fn own_process() -> i32 {
    // SAFETY: it cannot fail.
    unsafe { libc::getpid() }
}

/// Watches memory that a file has been mapped to.
pub(super) fn watch(start: usize, length: usize, device: u64, number: u64) {
    handle_bus_errors();
    let process = own_process();
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |region: &&Region| {
        let inherited = region.process.load(Ordering::Relaxed) != process;
        let lost = region.lost.load(Ordering::Relaxed);
        inherited || (region.start.load(Ordering::Relaxed) == 0 && !lost)
    };
    let Some(region) = REGIONS.iter().find(free) else {
        return;
    };
    region.start.store(0, Ordering::Release);
    region.lost.store(false, Ordering::Relaxed);
    region.length.store(length, Ordering::Relaxed);
    region.device.store(device, Ordering::Relaxed);
    region.number.store(number, Ordering::Relaxed);
    region.process.store(process, Ordering::Relaxed);
    region.start.store(start, Ordering::Release);
}

/// No longer watches the memory at `start`, which is about to be unmapped. A file that was lost remains so.
pub(super) fn forget(start: usize) {
    let process = own_process();
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    for region in &REGIONS {
        let at = region.start.load(Ordering::Relaxed);
        if at == start && region.process.load(Ordering::Relaxed) == process {
            region.start.store(0, Ordering::Release);
        }
    }
}

/// Whether pages of any file were missing when they were touched.
pub(super) fn is_any_lost() -> bool {
    IS_ANY_LOST.load(Ordering::SeqCst)
}

/// Whether pages of a file were missing when they were touched.
pub(super) fn is_lost(device: u64, number: u64) -> bool {
    let process = own_process();
    is_any_lost()
        && REGIONS.iter().any(|region| {
            region.is_of(device, number, process) && region.lost.load(Ordering::SeqCst)
        })
}

fn handle_bus_errors() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the handler has the signature that `SA_SIGINFO` asks for, and calls only what a handler may.
        unsafe {
            let mut before = MaybeUninit::<libc::sigaction>::zeroed();
            if libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr()) != 0 {
                return;
            }
            // Known before the handler can be called.
            let _ = BEFORE.set(before.assume_init());
            let mut ours = std::mem::zeroed::<libc::sigaction>();
            let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                on_bus_error;
            ours.sa_sigaction = handler as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut());
        }
    });
}

unsafe extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes what `SA_SIGINFO` promises; `mmap` is a system call that takes no lock.
    unsafe {
        let is_fault = (*info).si_code > 0;
        if is_fault && replace((*info).si_addr() as usize) {
            return;
        }
        pass_on(signal, info, context, is_fault);
    }
}

/// Puts other memory in the place of all that is mapped of the file at an address; whether there is such a file.
unsafe fn replace(address: usize) -> bool {
    let process = own_process();
    let holds = |region: &&Region| {
        let start = region.start.load(Ordering::Acquire);
        let end = start + region.length.load(Ordering::Relaxed);
        let own = region.process.load(Ordering::Relaxed) == process;
        own && start != 0 && (start..end).contains(&address)
    };
    let Some(found) = REGIONS.iter().find(holds) else {
        return false;
    };
    let device = found.device.load(Ordering::Relaxed);
    let number = found.number.load(Ordering::Relaxed);
    let of_file = || {
        REGIONS
            .iter()
            .filter(|region| region.is_of(device, number, process))
    };
    // Before any thread can see the other memory.
    IS_ANY_LOST.store(true, Ordering::SeqCst);
    for region in of_file() {
        region.lost.store(true, Ordering::SeqCst);
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let mut replaced = true;
    for region in of_file() {
        let start = region.start.load(Ordering::Acquire);
        if start != 0 {
            let length = region.length.load(Ordering::Relaxed);
            // SAFETY: this module was told that the file is mapped there.
            let made =
                unsafe { libc::mmap(start as *mut c_void, length, protection, flags, -1, 0) };
            replaced &= made != libc::MAP_FAILED;
        }
    }
    replaced
}

/// Does what would have been done without this module.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, is_fault: bool) {
    let Some(before) = BEFORE.get() else { return };
    // SAFETY: the handler that was there before is called as its flags say.
    unsafe {
        match before.sa_sigaction {
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // After the return the access is repeated, or the signal delivered again, and ends the process.
                libc::sigaction(signal, before, std::ptr::null_mut());
                if !is_fault {
                    libc::raise(signal);
                }
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: unsafe extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
