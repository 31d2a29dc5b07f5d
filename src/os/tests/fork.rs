//! Forks of all kinds. Each test runs in a child, since the forks of other tests run the same handlers.

use super::*;
use crate::os::tests::{bare_fork, in_child, wait_until};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// Counts its calls as digits: prepare 1, parent 10, child 100.
#[derive(Default)]
struct Counter(AtomicU32);

impl Counter {
    fn calls(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ForkHandler for Counter {
    fn prepare(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn in_parent(&self) {
        self.0.fetch_add(10, Ordering::Relaxed);
    }
    fn in_child(&self) {
        self.0.fetch_add(100, Ordering::Relaxed);
    }
}

fn registered<H: ForkHandler + 'static>(handler: H) -> Arc<H> {
    let handler = Arc::new(handler);
    let dynamic: Arc<dyn ForkHandler> = handler.clone();
    register(&dynamic).unwrap();
    handler
}

#[test]
fn handlers_run_once_on_each_side_until_they_are_dropped() {
    let child = in_child(|| {
        let counter = registered(Counter::default());
        let inner = in_child(|| counter.calls() == 101 && in_child(|| counter.calls() == 202).success()).success();
        let good = inner && counter.calls() == 11;
        let weak = Arc::downgrade(&counter);
        drop(counter);
        good && in_child(|| true).success() && weak.upgrade().is_none()
    });
    child.expect_success();
}

#[test]
fn a_bare_clone_runs_no_handler_and_may_register() {
    let child = in_child(|| {
        let counter = registered(Counter::default());
        // Held at the moment of the clone: the child must not find it so.
        let guard = registry().unwrap().page.lock(0).lock();
        let inner = bare_fork(|| counter.calls() == 0 && registry().unwrap().page.lock(0).try_lock().is_some()).success();
        drop(guard);
        // This process has one thread, so its bare child may do what it likes.
        inner && bare_fork(|| registered(Counter::default()).calls() == 0).success()
    });
    child.expect_success();
}

#[test]
fn handlers_run_in_order() {
    struct Named(char, Arc<Mutex<String>>);
    impl ForkHandler for Named {
        fn prepare(&self) {
            self.1.lock().unwrap().push(self.0);
        }
        fn in_parent(&self) {
            self.1.lock().unwrap().push(self.0.to_ascii_uppercase());
        }
        fn in_child(&self) {}
    }
    let child = in_child(|| {
        let log = Arc::new(Mutex::new(String::new()));
        let _handlers = ['a', 'b', 'c'].map(|name| registered(Named(name, log.clone())));
        in_child(|| true).success() && *log.lock().unwrap() == "cbaABC"
    });
    child.expect_success();
}

#[test]
fn forks_of_many_threads_do_not_mix() {
    #[derive(Default)]
    struct Alone(AtomicBool, AtomicBool);
    impl ForkHandler for Alone {
        fn prepare(&self) {
            if self.0.swap(true, Ordering::Relaxed) {
                self.1.store(true, Ordering::Relaxed);
            }
        }
        fn in_parent(&self) {
            self.0.store(false, Ordering::Relaxed);
        }
        fn in_child(&self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
    let child = in_child(|| {
        let alone = registered(Alone::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        in_child(|| !alone.0.load(Ordering::Relaxed)).expect_success();
                        drop(registered(Counter::default()));
                    }
                });
            }
        });
        !alone.1.load(Ordering::Relaxed)
    });
    child.expect_success();
}

/// Does in its handlers what one should not.
#[derive(Default)]
struct Restless {
    busy: AtomicBool,
    made: Mutex<Vec<Arc<Counter>>>,
}

impl Restless {
    fn act(&self) {
        if !self.busy.swap(true, Ordering::Relaxed) {
            in_child(|| true).expect_success();
            self.made.lock().unwrap().push(registered(Counter::default()));
            self.busy.store(false, Ordering::Relaxed);
        }
    }
}

impl ForkHandler for Restless {
    fn prepare(&self) {
        self.act();
    }
    fn in_parent(&self) {
        self.act();
    }
    fn in_child(&self) {
        self.act();
    }
}

#[test]
fn a_handler_may_fork_and_register() {
    let child = in_child(|| {
        let restless = registered(Restless::default());
        let inner = in_child(|| restless.made.lock().unwrap().len() == 2).success();
        let made = std::mem::take(&mut *restless.made.lock().unwrap());
        drop(restless);
        // What was registered within a handler is called from the next fork on.
        inner && made.len() == 2 && in_child(|| made.iter().all(|counter| counter.calls() == 101)).success()
    });
    child.expect_success();
}

#[test]
fn the_last_reference_may_go_within_a_handler() {
    struct Fading {
        own: Mutex<Option<Arc<Fading>>>,
        next: Mutex<Option<Arc<Counter>>>,
    }
    impl ForkHandler for Fading {
        fn prepare(&self) {
            self.own.lock().unwrap().take();
        }
        fn in_parent(&self) {}
        fn in_child(&self) {}
    }
    impl Drop for Fading {
        fn drop(&mut self) {
            // May lock, as the fork is over by now.
            *self.next.lock().unwrap() = Some(registered(Counter::default()));
        }
    }
    let child = in_child(|| {
        let fading = registered(Fading { own: Mutex::new(None), next: Mutex::new(None) });
        *fading.own.lock().unwrap() = Some(fading.clone());
        let weak = Arc::downgrade(&fading);
        drop(fading);
        in_child(|| weak.upgrade().is_none()).success() && weak.upgrade().is_none()
    });
    child.expect_success();
}

static FORKED: AtomicU32 = AtomicU32::new(0);

/// Forks in the handler of a signal, and notes whether the child ended well.
extern "C" fn fork_now(_: libc::c_int) {
    FORKED.fetch_add(if in_child(|| true).success() { 1 } else { 1000 }, Ordering::Relaxed);
}

/// A signal may come in the middle of anything, and its handler may fork: that must not wait for the thread that it interrupted.
#[test]
fn a_fork_in_a_signal_handler_waits_for_nobody() {
    let child = in_child(|| {
        let _counter = registered(Counter::default());
        // SAFETY: the handler has the right type and lives as long as the program; the calls take plain numbers besides.
        unsafe {
            libc::signal(libc::SIGUSR1, fork_now as *const () as usize);
            between_forks(|| libc::raise(libc::SIGUSR1)).unwrap();
            libc::raise(libc::SIGUSR1);
            libc::signal(libc::SIGALRM, fork_now as *const () as usize);
        }
        let mut sum = 0;
        wait_until("forks at any moment", || {
            let before = FORKED.load(Ordering::Relaxed); // before the signal can come
            let soon = libc::timeval { tv_sec: 0, tv_usec: 20 + sum % 50 };
            let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
            // SAFETY: the pointer is to a struct that lives across the call.
            unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &once, std::ptr::null_mut::<u8>()) };
            while FORKED.load(Ordering::Relaxed) == before {
                // Nothing here allocates: the allocator can stand a fork, but not one in its own midst.
                between_forks(|| sum += 1).unwrap();
            }
            before > 200
        });
        FORKED.load(Ordering::Relaxed) < 1000 && sum > 0
    });
    child.expect_success();
}

#[test]
fn a_failed_fork_gives_the_lock_back() {
    let child = in_child(|| {
        let counter = registered(Counter::default());
        prepare();
        in_parent();
        counter.calls() == 11 && in_child(|| counter.calls() == 112).success()
    });
    child.expect_success();
}

/// Waits in `prepare` for something that another thread is to do, as handlers of other libraries may.
struct Waiting(Arc<AtomicBool>);

impl ForkHandler for Waiting {
    fn prepare(&self) {
        wait_until("the other thread", || self.0.load(Ordering::Relaxed));
    }
    fn in_parent(&self) {}
    fn in_child(&self) {}
}

#[test]
fn a_fork_that_waits_for_this_thread_is_not_waited_for_for_ever() {
    let child = in_child(|| {
        let is_done = Arc::new(AtomicBool::new(false));
        let _waiting = registered(Waiting(is_done.clone()));
        std::thread::scope(|scope| {
            let fork = scope.spawn(|| in_child(|| true).success());
            // Until that thread holds the lock, this one may have it.
            wait_until("the fork to begin", || registry().is_some_and(|registry| registry.page.lock(0).try_lock().is_none()));
            let counter: Arc<dyn ForkHandler> = Arc::new(Counter::default());
            let kinds = [register(&counter), between_forks(|| ())].map(|result| result.unwrap_err().kind());
            is_done.store(true, Ordering::Relaxed);
            kinds == [io::ErrorKind::TimedOut; 2] && fork.join().unwrap() && register(&counter).is_ok()
        })
    });
    child.expect_success();
}
