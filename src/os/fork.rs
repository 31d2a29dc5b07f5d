//! Handlers that run around each `fork` of the process.
//!
//! One set of `pthread_atfork` handlers serves the whole process. A lock is held from `prepare` until the parent's handlers
//! have run, so that two forks at once do not mix, and so that nothing is registered between. The lock lies in a
//! [`WipedPage`], so that no child inherits it.
//!
//! Handlers run for `fork` alone. A child made by `_Fork` or a bare `clone` runs none, nor does one that is forked from within
//! a handler: it finds its wiped page zero, and behaves by that.

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::identity::{WipedGuard, WipedPage};

/// What something does around each fork. The calls must not panic, must not wait for another thread, and in the child should
/// not allocate. They may register handlers, and may drop the last reference to one.
pub(crate) trait ForkHandler: Send + Sync {
    /// Runs in the parent, before. The last one registered is the first.
    fn prepare(&self);
    /// Runs in the parent, after, whether or not the fork succeeded.
    fn in_parent(&self);
    /// Runs in the child, where this thread is the only one.
    fn in_child(&self);
}

/// All that is registered, made once and never freed.
struct Registry {
    page: WipedPage,
    /// Guarded by the lock in the page.
    handlers: UnsafeCell<Vec<Weak<dyn ForkHandler>>>,
    /// Guarded likewise: `pthread_atfork` was called.
    installed: Cell<bool>,
}

// SAFETY: what is not `Sync` in it is reached only by the thread that holds the lock in the page, or, in a child before its
// handlers end, by its only thread.
unsafe impl Sync for Registry {}

/// A fork under way in this thread.
struct Forking {
    handlers: Vec<Arc<dyn ForkHandler>>,
    guard: WipedGuard<'static>,
}

thread_local! {
    /// The fork under way, or null. A plain pointer, which needs no destructor and so works while a thread ends.
    static FORKING: Cell<*mut Forking> = const { Cell::new(ptr::null_mut()) };
    /// Forks begun within this thread's handlers or registrations, whose handlers are passed over.
    static NESTED: Cell<u32> = const { Cell::new(0) };
    /// This thread holds the lock, or is about to, other than for a fork: a fork now, by a handler of a signal, must not wait for
    /// it.
    static CHANGING: Cell<bool> = const { Cell::new(false) };
}

/// Runs something as [`CHANGING`].
fn changing<T>(run: impl FnOnce() -> T) -> T {
    let before = CHANGING.replace(true);
    let result = run();
    CHANGING.set(before);
    result
}

static REGISTRY: AtomicPtr<Registry> = AtomicPtr::new(ptr::null_mut());

fn registry() -> Option<&'static Registry> {
    // Acquire pairs with the release in `registry_or_new`.
    let registry = REGISTRY.load(Ordering::Acquire);
    // SAFETY: the pointer is null, or comes from `Box::into_raw` and is never freed.
    unsafe { registry.as_ref() }
}

/// Not a `OnceLock`: a child that is forked while another thread is inside of one would wait for that thread for ever.
fn registry_or_new() -> io::Result<&'static Registry> {
    if let Some(registry) = registry() {
        return Ok(registry);
    }
    let page = WipedPage::new()?;
    let new = Box::into_raw(Box::new(Registry { page, handlers: UnsafeCell::default(), installed: Cell::new(false) }));
    // Release on success: whoever finds the pointer finds what it points to. Acquire on failure pairs with that.
    match REGISTRY.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Acquire) {
        // SAFETY: the pointer comes from `Box::into_raw`, and is never freed once it is published.
        Ok(_) => Ok(unsafe { &*new }),
        Err(other) => {
            // SAFETY: `new` comes from `Box::into_raw` and was not published, so nothing else has it.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: `other` was published by another thread, and is never freed.
            Ok(unsafe { &*other })
        }
    }
}

/// How long a thread waits for a fork that is under way. Not for ever: that fork's other handlers may be waiting for this very
/// thread.
const PATIENCE: Duration = Duration::from_secs(3);

/// Registers a handler, for as long as anything holds it: dropping the last reference is all it takes to be rid of it.
/// Fails as [`between_forks`] does.
pub(crate) fn register(handler: &Arc<dyn ForkHandler>) -> io::Result<()> {
    if CHANGING.get() {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "a fork handler is being registered by this very thread"));
    }
    let registry = registry_or_new()?;
    between_forks(|| {
        registry.install()?;
        // SAFETY: this thread holds the lock, and `CHANGING` shows that it is not already inside this or `Registry::begin`.
        let handlers = unsafe { &mut *registry.handlers.get() };
        handlers.retain(|handler| handler.strong_count() > 0);
        handlers.push(Arc::downgrade(handler));
        Ok(())
    })?
}

/// Runs something that a fork with handlers does not come in between of, such as opening a descriptor and putting it where
/// a handler finds it. It waits for a fork that is under way, and after three seconds fails with [`io::ErrorKind::TimedOut`].
pub(crate) fn between_forks<T>(run: impl FnOnce() -> T) -> io::Result<T> {
    let registry = registry_or_new()?;
    let is_inside = CHANGING.get() || holds_lock();
    changing(|| {
        let guard = if is_inside { None } else { registry.page.lock(0).lock_within(PATIENCE) };
        if guard.is_some() || is_inside { Ok(run()) } else { Err(io::Error::new(io::ErrorKind::TimedOut, BUSY_FORKING)) }
    })
}

const BUSY_FORKING: &str = "another thread has been forking this process for more than 3 s, or one of its `pthread_atfork` \
    handlers waits for this thread: try again when the fork is over";

/// Whether this thread holds the lock for a fork under way. In a child it does not, as the lock was wiped.
fn holds_lock() -> bool {
    // SAFETY: the pointer is null, or to what `prepare` boxed in this thread, which is freed only after it is set to null.
    unsafe { FORKING.get().as_ref() }.is_some_and(|forking| forking.guard.is_held())
}

impl Registry {
    /// To be called with the lock held.
    fn install(&self) -> io::Result<()> {
        if self.installed.get() {
            return Ok(());
        }
        // SAFETY: the three functions have the right type, and live as long as the program.
        let code = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
        self.installed.set(true);
        Ok(())
    }

    /// Locks, and takes hold of all handlers that are still there.
    fn begin(&'static self) -> Forking {
        let guard = self.page.lock(0).lock();
        // SAFETY: this thread holds the lock, and `prepare` has seen that it is not inside `register`.
        let list = unsafe { &mut *self.handlers.get() };
        list.retain(|handler| handler.strong_count() > 0);
        Forking { handlers: list.iter().filter_map(Weak::upgrade).collect(), guard }
    }
}

extern "C" fn prepare() {
    let Some(registry) = registry() else { return };
    if NESTED.get() > 0 || CHANGING.get() || !FORKING.get().is_null() {
        NESTED.set(NESTED.get() + 1);
        return;
    }
    let forking = changing(|| {
        let forking = Box::into_raw(Box::new(registry.begin()));
        FORKING.set(forking);
        forking
    });
    // SAFETY: the pointer is the one just boxed; only `finish` frees it, in this thread.
    for handler in unsafe { &(*forking).handlers }.iter().rev() {
        handler.prepare();
    }
}

extern "C" fn in_parent() {
    finish(|handler| handler.in_parent());
}

extern "C" fn in_child() {
    finish(|handler| handler.in_child());
}

fn finish(run: impl Fn(&dyn ForkHandler)) {
    if NESTED.get() > 0 {
        NESTED.set(NESTED.get() - 1);
        return;
    }
    let forking = FORKING.get();
    if forking.is_null() {
        return;
    }
    // SAFETY: the pointer is what `prepare` boxed in this thread (or in the thread that this one is a copy of), and is freed
    // below only. The handlers see it through shared references alone.
    for handler in unsafe { &(*forking).handlers } {
        run(&**handler);
    }
    let handlers = changing(|| {
        FORKING.set(ptr::null_mut());
        // SAFETY: the pointer comes from `Box::into_raw`, and nothing else has it any more.
        let Forking { handlers, guard } = *unsafe { Box::from_raw(forking) };
        drop(guard);
        handlers
    });
    // After the lock: a handler whose last reference this is may do anything when it is dropped.
    drop(handlers);
}

#[cfg(test)]
#[path = "tests/fork.rs"]
mod tests;
