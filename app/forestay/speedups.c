/* Functions in C for what Python does slowly. Each has a fallback in Python beside its use, which does the same.
 * The types are in speedups.pyi. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Frames of clients: protocol/websocket/masks.py says what these functions do. */

/* Writes `size` bytes of `from` to `to`, without their mask. Returns a byte whose highest bit is set where one of them
 * is no ASCII. */
static unsigned char
take_mask_off(unsigned char *to, const unsigned char *from, const unsigned char *mask, Py_ssize_t size)
{
    uint32_t word;
    uint64_t words, seen = 0;
    Py_ssize_t at = 0;
    memcpy(&word, mask, 4);
    words = (uint64_t)word << 32 | word;
    for (; at + 8 <= size; at += 8) {
        uint64_t part;
        memcpy(&part, from + at, 8);
        part ^= words;
        seen |= part;
        memcpy(to + at, &part, 8);
    }
    seen |= seen >> 32;
    seen |= seen >> 16;
    seen |= seen >> 8;
    for (; at < size; at++) {
        to[at] = from[at] ^ mask[at & 3];
        seen |= to[at];
    }
    return (unsigned char)seen;
}

/* Whether these bytes are UTF-8 (RFC 3629): no longer forms than needed, no surrogates, nothing above U+10FFFF. */
static int
is_utf8(const unsigned char *text, Py_ssize_t size)
{
    Py_ssize_t at = 0;
    while (at < size) {
        unsigned char first = text[at++], least = 0x80, most = 0xBF;
        int more;
        if (first < 0x80)
            continue;
        if (first < 0xC2 || first > 0xF4)
            return 0;
        more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if (first == 0xE0)
            least = 0xA0;
        else if (first == 0xED)
            most = 0x9F;
        else if (first == 0xF0)
            least = 0x90;
        else if (first == 0xF4)
            most = 0x8F;
        if (size - at < more)
            return 0;
        for (; more > 0; more--, at++) {
            if (text[at] < least || text[at] > most)
                return 0;
            least = 0x80;
            most = 0xBF;
        }
    }
    return 1;
}

static PyObject *
unmask(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    Py_buffer view;
    PyObject *payload = NULL;
    Py_ssize_t at, size;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, "unmask() takes the data, the place of the mask and the size of the payload");
        return NULL;
    }
    at = PyLong_AsSsize_t(args[1]);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    size = PyLong_AsSsize_t(args[2]);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (at < 0 || size < 0 || at > view.len - 4 || size > view.len - 4 - at) {
        PyErr_SetString(PyExc_ValueError, "the payload ends behind the data");
    } else {
        payload = PyBytes_FromStringAndSize(NULL, size);
        if (payload != NULL) {
            const unsigned char *mask = (const unsigned char *)view.buf + at;
            take_mask_off((unsigned char *)PyBytes_AS_STRING(payload), mask + 4, mask, size);
        }
    }
    PyBuffer_Release(&view);
    return payload;
}

/* Where a whole text frame with a mask begins at `data`, of which `have` bytes are there: the place of its mask, and in
 * `size` the bytes of its text. NULL where anything else begins, and where the length has eight bytes. */
static const unsigned char *
text_frame(const unsigned char *data, Py_ssize_t have, Py_ssize_t *size)
{
    if (have < 6 || data[0] != 0x81)
        return NULL;
    if (data[1] == 0xFE) {
        *size = (Py_ssize_t)data[2] << 8 | data[3];
        return *size < 126 || *size > have - 8 ? NULL : data + 4;
    }
    *size = data[1] & 0x7F;
    return data[1] < 0x80 || *size > 125 || *size > have - 6 ? NULL : data + 2;
}

/* The text behind `mask`. None where it is not UTF-8. */
static PyObject *
unmasked_text(const unsigned char *mask, Py_ssize_t size)
{
    PyObject *text = PyBytes_FromStringAndSize(NULL, size);
    if (text == NULL)
        return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(text);
    if (take_mask_off(to, mask + 4, mask, size) & 0x80 && !is_utf8(to, size)) {
        Py_DECREF(text);
        Py_RETURN_NONE;
    }
    return text;
}

static PyObject *
whole_text(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    Py_ssize_t most, size = 0;
    if (given != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "whole_text() takes bytes, and the size of the largest text");
        return NULL;
    }
    most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    const unsigned char *end = data + PyBytes_GET_SIZE(args[0]);
    const unsigned char *mask = text_frame(data, end - data, &size);
    if (mask == NULL || mask + 4 + size != end || size > most)
        Py_RETURN_NONE;
    return unmasked_text(mask, size);
}

static PyObject *
text_at(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    Py_buffer view;
    PyObject *text = NULL;
    Py_ssize_t at, most, size = 0;
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, "text_at() takes the data, the place of the frame and the size of the largest text");
        return NULL;
    }
    at = PyLong_AsSsize_t(args[1]);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    most = PyLong_AsSsize_t(args[2]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (at < 0 || at > view.len) {
        PyErr_SetString(PyExc_ValueError, "the frame begins behind the data");
    } else {
        const unsigned char *mask = text_frame((const unsigned char *)view.buf + at, view.len - at, &size);
        text = mask == NULL || size > most ? Py_NewRef(Py_None) : unmasked_text(mask, size);
    }
    PyBuffer_Release(&view);
    return text;
}

/* Outlet: what writes to one client; edge/websocket/outlet.py says what its methods do.
 * Writes: one buffer for each of many outlets, sent by a thread that needs no interpreter for it. */

/* The states of an entry. The loop's thread cancels pending ones; the thread that writes takes the others on. */
enum { PENDING, UNDER_WAY, DONE, CANCELLED };

typedef struct Entry Entry;

typedef struct {
    PyObject_HEAD
    PyObject *transport;
    PyObject *writes; /* holds this outlet: what else is written waits for it; NULL where none does */
    Entry *entry;     /* the write among those */
    int fd;           /* -1 until it is needed */
    char closing;
    char lost;
    char touched; /* something may wait in the buffer of the transport */
} Outlet;

struct Entry {
    Outlet *outlet;
    int fd;
    atomic_int state;
    const char *data;
    Py_ssize_t size;
    Py_ssize_t sent;    /* bytes that the kernel took */
    Py_ssize_t waiting; /* bytes of `pending` */
    PyObject *pending;  /* a list of what was written since then, or NULL */
    PyObject *steps;    /* a list of what comes after that, or NULL */
};

typedef struct Writes {
    PyObject_HEAD
    PyObject *buffers; /* owns what the entries point to */
    PyObject *left;
    Py_ssize_t count;
    Entry *entries;
    struct Writes *next; /* in the queue of a thread, which owns it until it is taken back */
    double seconds;      /* of CPU that `run` took */
} Writes;

static PyTypeObject *outlet_type, *writes_type;
static PyObject *str_write, *str_is_closing, *str_get_write_buffer_size, *str_get_extra_info, *str_socket, *str_fileno,
    *str_outlet;

static PyObject *
outlet_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Outlet *self = (Outlet *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->transport = Py_NewRef(Py_None);
        self->fd = -1;
        /* Nobody knows yet. */
        self->touched = 1;
    }
    return (PyObject *)self;
}

static int
outlet_init(Outlet *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"transport", NULL};
    PyObject *transport;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Outlet", names, &transport))
        return -1;
    Py_XSETREF(self->transport, Py_NewRef(transport));
    return 0;
}

static int
outlet_traverse(Outlet *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->transport);
    Py_VISIT(self->writes);
    return 0;
}

static int
outlet_clear(Outlet *self)
{
    self->entry = NULL;
    Py_CLEAR(self->writes);
    Py_XSETREF(self->transport, Py_NewRef(Py_None));
    return 0;
}

static void
outlet_dealloc(Outlet *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->writes);
    Py_XDECREF(self->transport);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
call_transport(Outlet *self, PyObject *name)
{
    PyObject *args[1] = {self->transport};
    return PyObject_VectorcallMethod(name, args, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* Adds to a list that is made for its first item. */
static int
push(PyObject **list, PyObject *item)
{
    if (*list == NULL && (*list = PyList_New(0)) == NULL)
        return -1;
    return PyList_Append(*list, item);
}

static PyObject *
outlet_write(Outlet *self, PyObject *data)
{
    PyObject *args[2] = {self->transport, data};
    if (self->lost)
        Py_RETURN_NONE;
    if (self->entry != NULL) {
        if (!PyBytes_Check(data)) {
            PyErr_SetString(PyExc_TypeError, "what is written must be bytes");
            return NULL;
        }
        if (push(&self->entry->pending, data) < 0)
            return NULL;
        self->entry->waiting += PyBytes_GET_SIZE(data);
        Py_RETURN_NONE;
    }
    self->touched = 1;
    return PyObject_VectorcallMethod(str_write, args, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

static PyObject *
outlet_buffered(Outlet *self, PyObject *Py_UNUSED(ignored))
{
    if (self->entry != NULL)
        return PyLong_FromSsize_t(self->entry->size + self->entry->waiting);
    return call_transport(self, str_get_write_buffer_size);
}

static PyObject *
outlet_closed(Outlet *self, PyObject *Py_UNUSED(ignored))
{
    if (self->closing)
        Py_RETURN_TRUE;
    return call_transport(self, str_is_closing);
}

static PyObject *
outlet_after_writes(Outlet *self, PyObject *step)
{
    if (self->entry == NULL)
        return PyObject_CallNoArgs(step);
    if (push(&self->entry->steps, step) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Cancels a write that has not begun. No more of it is sent after this. */
static void
cancel(Entry *entry)
{
    int expected = PENDING;
    if (!atomic_compare_exchange_strong(&entry->state, &expected, CANCELLED)) {
        /* A send that does not wait is under way, so this ends within microseconds. */
        while (atomic_load(&entry->state) == UNDER_WAY)
            sched_yield();
    }
}

static PyObject *
outlet_lost(Outlet *self, PyObject *Py_UNUSED(ignored))
{
    self->lost = self->closing = 1;
    if (self->entry != NULL) {
        cancel(self->entry);
        self->entry = NULL;
        Py_CLEAR(self->writes);
    }
    Py_RETURN_NONE;
}

static PyMethodDef outlet_methods[] = {
    {"write", (PyCFunction)outlet_write, METH_O, NULL},
    {"buffered", (PyCFunction)outlet_buffered, METH_NOARGS, NULL},
    {"closed", (PyCFunction)outlet_closed, METH_NOARGS, NULL},
    {"after_writes", (PyCFunction)outlet_after_writes, METH_O, NULL},
    {"lost", (PyCFunction)outlet_lost, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef outlet_members[] = {
    {"transport", T_OBJECT, offsetof(Outlet, transport), READONLY, NULL},
    {"closing", T_BOOL, offsetof(Outlet, closing), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot outlet_slots[] = {
    {Py_tp_new, outlet_new},
    {Py_tp_init, outlet_init},
    {Py_tp_traverse, outlet_traverse},
    {Py_tp_clear, outlet_clear},
    {Py_tp_dealloc, outlet_dealloc},
    {Py_tp_methods, outlet_methods},
    {Py_tp_members, outlet_members},
    {0, NULL},
};

static PyType_Spec outlet_spec = {
    .name = "forestay.speedups.Outlet",
    .basicsize = sizeof(Outlet),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = outlet_slots,
};

/* The descriptor of the outlet's socket. It is valid until the connection is lost. -1 with an exception. */
static int
descriptor(Outlet *outlet)
{
    if (outlet->fd < 0) {
        PyObject *number = NULL;
        PyObject *socket = PyObject_CallMethodOneArg(outlet->transport, str_get_extra_info, str_socket);
        if (socket != NULL)
            number = PyObject_CallMethodNoArgs(socket, str_fileno);
        Py_XDECREF(socket);
        if (number != NULL)
            outlet->fd = (int)PyLong_AsLong(number);
        Py_XDECREF(number);
    }
    return outlet->fd;
}

/* A new reference to the outlet to which `one` writes as it is: itself, or its attribute `outlet`. NULL where there is
 * none, without an exception. */
static Outlet *
outlet_of(PyObject *one)
{
    if (PyObject_TypeCheck(one, outlet_type))
        return (Outlet *)Py_NewRef(one);
    PyObject *below = PyObject_GetAttr(one, str_outlet);
    if (below == NULL)
        PyErr_Clear();
    else if (!PyObject_TypeCheck(below, outlet_type))
        Py_CLEAR(below);
    return (Outlet *)below;
}

/* Whether the kernel is the next that a write to this client goes to: 1 or 0, or -1 with an exception. */
static int
ready(Outlet *outlet)
{
    if (outlet == NULL || outlet->closing || outlet->entry != NULL)
        return 0;
    if (outlet->touched) {
        PyObject *waiting = call_transport(outlet, str_get_write_buffer_size);
        Py_ssize_t size = waiting == NULL ? -1 : PyLong_AsSsize_t(waiting);
        Py_XDECREF(waiting);
        if (size != 0)
            return PyErr_Occurred() ? -1 : 0;
        if (descriptor(outlet) < 0)
            return PyErr_Occurred() ? -1 : 0;
        outlet->touched = 0;
    }
    return 1;
}

static PyObject *
writes_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"outlets", "buffers", NULL};
    PyObject *outlets, *buffers;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!:Writes", names, &PyList_Type, &outlets, &PyList_Type, &buffers)) {
        return NULL;
    }
    Py_ssize_t given = PyList_GET_SIZE(outlets);
    if (PyList_GET_SIZE(buffers) != given) {
        PyErr_SetString(PyExc_ValueError, "there must be one buffer for each outlet");
        return NULL;
    }
    for (Py_ssize_t at = 0; at < given; at++) {
        if (!PyBytes_CheckExact(PyList_GET_ITEM(buffers, at))) {
            PyErr_SetString(PyExc_TypeError, "a buffer must be bytes");
            return NULL;
        }
    }
    Writes *self = (Writes *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->buffers = PyList_AsTuple(buffers);
    self->left = PyList_New(0);
    self->entries = PyMem_Calloc((size_t)given + 1, sizeof(Entry));
    if (self->buffers == NULL || self->left == NULL || self->entries == NULL) {
        Py_DECREF(self);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    for (Py_ssize_t at = 0; at < given; at++) {
        PyObject *one = PyList_GET_ITEM(outlets, at), *buffer = PyTuple_GET_ITEM(self->buffers, at);
        Outlet *outlet = outlet_of(one);
        int is_ready = ready(outlet);
        if (is_ready < 0) {
            /* Its transport is broken. Whoever writes the rest meets the same error. */
            PyErr_Clear();
        }
        if (is_ready <= 0) {
            PyObject *place = PyLong_FromSsize_t(at);
            int failed = place == NULL || PyList_Append(self->left, place) < 0;
            Py_XDECREF(place);
            Py_XDECREF(outlet);
            if (failed) {
                Py_DECREF(self);
                return NULL;
            }
            continue;
        }
        Entry *entry = &self->entries[self->count++];
        entry->outlet = outlet;
        entry->fd = outlet->fd;
        entry->data = PyBytes_AS_STRING(buffer);
        entry->size = PyBytes_GET_SIZE(buffer);
        atomic_init(&entry->state, PENDING);
        outlet->entry = entry;
        outlet->writes = Py_NewRef(self);
    }
    return (PyObject *)self;
}

static int
writes_traverse(Writes *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->buffers);
    Py_VISIT(self->left);
    for (Py_ssize_t at = 0; at < self->count; at++) {
        Py_VISIT(self->entries[at].outlet);
        Py_VISIT(self->entries[at].pending);
        Py_VISIT(self->entries[at].steps);
    }
    return 0;
}

/* Lets the outlet of an entry go, if the entry still holds it. */
static int
let_go(Entry *entry)
{
    if (entry->outlet == NULL || entry->outlet->entry != entry)
        return 0;
    entry->outlet->entry = NULL;
    Py_CLEAR(entry->outlet->writes);
    return 1;
}

static int
writes_clear(Writes *self)
{
    for (Py_ssize_t at = 0; at < self->count; at++) {
        Entry *entry = &self->entries[at];
        Py_CLEAR(entry->pending);
        Py_CLEAR(entry->steps);
        if (entry->outlet != NULL && entry->outlet->entry == entry)
            entry->outlet->entry = NULL;
        Py_CLEAR(entry->outlet);
    }
    return 0;
}

static void
writes_dealloc(Writes *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    writes_clear(self);
    PyMem_Free(self->entries);
    Py_XDECREF(self->buffers);
    Py_XDECREF(self->left);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Seconds of CPU that this thread has used. */
static double
used(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Makes the writes that are not cancelled. The interpreter is not needed for it. */
static void
run(Writes *self)
{
    double before = used();
    for (Py_ssize_t at = 0; at < self->count; at++) {
        Entry *entry = &self->entries[at];
        int expected = PENDING;
        if (!atomic_compare_exchange_strong(&entry->state, &expected, UNDER_WAY))
            continue;
        ssize_t sent;
        do {
            sent = send(entry->fd, entry->data, (size_t)entry->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        /* The transport writes the rest. It meets the error too, and knows what follows from it. */
        entry->sent = sent < 0 ? 0 : sent;
        atomic_store(&entry->state, DONE);
    }
    self->seconds = used() - before;
}

static PyObject *
writes_run(Writes *self, PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_ALLOW_THREADS
    run(self);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* What is left of an entry, and what was written since then. NULL with an exception. */
static PyObject *
rest_of(const Entry *entry)
{
    Py_ssize_t left = entry->size - entry->sent;
    PyObject *rest = PyBytes_FromStringAndSize(NULL, left + entry->waiting);
    if (rest == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(rest);
    memcpy(to, entry->data + entry->sent, (size_t)left);
    to += left;
    for (Py_ssize_t at = 0; entry->pending != NULL && at < PyList_GET_SIZE(entry->pending); at++) {
        PyObject *part = PyList_GET_ITEM(entry->pending, at);
        memcpy(to, PyBytes_AS_STRING(part), (size_t)PyBytes_GET_SIZE(part));
        to += PyBytes_GET_SIZE(part);
    }
    return rest;
}

/* Does what waited for an entry. -1 with an exception. */
static int
catch_up(Entry *entry)
{
    PyObject *done;
    if (entry->sent < entry->size || entry->waiting > 0) {
        PyObject *rest = rest_of(entry);
        done = rest == NULL ? NULL : outlet_write(entry->outlet, rest);
        Py_XDECREF(rest);
        Py_XDECREF(done);
        if (done == NULL)
            return -1;
    }
    for (Py_ssize_t at = 0; entry->steps != NULL && at < PyList_GET_SIZE(entry->steps); at++) {
        done = PyObject_CallNoArgs(PyList_GET_ITEM(entry->steps, at));
        Py_XDECREF(done);
        if (done == NULL)
            return -1;
    }
    return 0;
}

static PyObject *
writes_release(Writes *self, PyObject *Py_UNUSED(ignored))
{
    for (Py_ssize_t at = 0; at < self->count; at++) {
        Entry *entry = &self->entries[at];
        if (let_go(entry) && catch_up(entry) < 0)
            PyErr_WriteUnraisable((PyObject *)entry->outlet);
    }
    Py_RETURN_NONE;
}

static PyMethodDef writes_methods[] = {
    {"run", (PyCFunction)writes_run, METH_NOARGS, NULL},
    {"release", (PyCFunction)writes_release, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef writes_members[] = {
    {"left", T_OBJECT, offsetof(Writes, left), READONLY, NULL},
    {"count", T_PYSSIZET, offsetof(Writes, count), READONLY, NULL},
    {"seconds", T_DOUBLE, offsetof(Writes, seconds), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot writes_slots[] = {
    {Py_tp_new, writes_new},
    {Py_tp_traverse, writes_traverse},
    {Py_tp_clear, writes_clear},
    {Py_tp_dealloc, writes_dealloc},
    {Py_tp_methods, writes_methods},
    {Py_tp_members, writes_members},
    {0, NULL},
};

static PyType_Spec writes_spec = {
    .name = "forestay.speedups.Writes",
    .basicsize = sizeof(Writes),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writes_slots,
};

/* WriterThread: makes writes in the order in which they are handed in, and never takes the interpreter. */

typedef struct {
    PyObject_HEAD
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    Writes *waiting, **last; /* a queue, and where its next item is linked in */
    Writes *done, **last_done;
    int pipe[2]; /* gets a byte when something is done */
    int running;
    int stopping;
} WriterThread;

static void *
work(void *arg)
{
    WriterThread *self = arg;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->waiting == NULL && !self->stopping)
            pthread_cond_wait(&self->changed, &self->lock);
        Writes *writes = self->waiting;
        if (writes == NULL)
            break;
        self->waiting = writes->next;
        if (self->waiting == NULL)
            self->last = &self->waiting;
        pthread_mutex_unlock(&self->lock);
        run(writes);
        pthread_mutex_lock(&self->lock);
        writes->next = NULL;
        *self->last_done = writes;
        self->last_done = &writes->next;
        /* A full pipe says enough. */
        while (write(self->pipe[1], "", 1) < 0 && errno == EINTR) {
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static PyObject *
thread_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":WriterThread", names))
        return NULL;
    WriterThread *self = (WriterThread *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->last = &self->waiting;
    self->last_done = &self->done;
    self->pipe[0] = self->pipe[1] = -1;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    int failed = pipe(self->pipe) < 0;
    for (int end = 0; end < 2 && !failed; end++)
        failed = fcntl(self->pipe[end], F_SETFL, O_NONBLOCK) < 0 || fcntl(self->pipe[end], F_SETFD, FD_CLOEXEC) < 0;
    if (failed) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *
thread_hand_in(WriterThread *self, PyObject *arg)
{
    if (!Py_IS_TYPE(arg, writes_type)) {
        PyErr_SetString(PyExc_TypeError, "only Writes can be handed in");
        return NULL;
    }
    if (self->stopping) {
        PyErr_SetString(PyExc_RuntimeError, "the thread was stopped");
        return NULL;
    }
    if (!self->running) {
        /* Signals are for the other threads. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int failed = pthread_create(&self->thread, NULL, work, self);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed) {
            PyErr_Format(PyExc_RuntimeError, "no thread could be started: %s", strerror(failed));
            return NULL;
        }
        self->running = 1;
    }
    Writes *writes = (Writes *)Py_NewRef(arg);
    pthread_mutex_lock(&self->lock);
    writes->next = NULL;
    *self->last = writes;
    self->last = &writes->next;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    Py_RETURN_NONE;
}

static PyObject *
thread_take_back(WriterThread *self, PyObject *Py_UNUSED(ignored))
{
    char bytes[64];
    PyObject *found = PyList_New(0);
    if (found == NULL)
        return NULL;
    while (read(self->pipe[0], bytes, sizeof(bytes)) > 0) {
    }
    pthread_mutex_lock(&self->lock);
    Writes *writes = self->done;
    self->done = NULL;
    self->last_done = &self->done;
    pthread_mutex_unlock(&self->lock);
    while (writes != NULL) {
        Writes *next = writes->next;
        writes->next = NULL;
        if (found != NULL && PyList_Append(found, (PyObject *)writes) < 0)
            Py_CLEAR(found);
        Py_DECREF(writes);
        writes = next;
    }
    return found;
}

static PyObject *
thread_fileno(WriterThread *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->pipe[0]);
}

/* Waits until all that was handed in is written: no write waits for anything. */
static void
stop(WriterThread *self)
{
    pthread_mutex_lock(&self->lock);
    self->stopping = 1;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (self->running) {
        Py_BEGIN_ALLOW_THREADS
        pthread_join(self->thread, NULL);
        Py_END_ALLOW_THREADS
        self->running = 0;
    }
}

static PyObject *
thread_stop(WriterThread *self, PyObject *Py_UNUSED(ignored))
{
    stop(self);
    Py_RETURN_NONE;
}

static void
thread_dealloc(WriterThread *self)
{
    PyTypeObject *type = Py_TYPE(self);
    stop(self);
    for (int end = 0; end < 2; end++) {
        if (self->pipe[end] >= 0)
            close(self->pipe[end]);
    }
    while (self->done != NULL) {
        Writes *writes = self->done;
        self->done = writes->next;
        Py_DECREF(writes);
    }
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef thread_methods[] = {
    {"hand_in", (PyCFunction)thread_hand_in, METH_O, NULL},
    {"take_back", (PyCFunction)thread_take_back, METH_NOARGS, NULL},
    {"fileno", (PyCFunction)thread_fileno, METH_NOARGS, NULL},
    {"stop", (PyCFunction)thread_stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot thread_slots[] = {
    {Py_tp_new, thread_new},
    {Py_tp_dealloc, thread_dealloc},
    {Py_tp_methods, thread_methods},
    {0, NULL},
};

static PyType_Spec thread_spec = {
    .name = "forestay.speedups.WriterThread",
    .basicsize = sizeof(WriterThread),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = thread_slots,
};

/* Makes the type of `spec` and adds it to the module. NULL with an exception. */
static PyTypeObject *
added(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int
speedups_exec(PyObject *module)
{
    struct {
        PyObject **at;
        const char *text;
    } *name, names[] = {
        {&str_write, "write"},
        {&str_is_closing, "is_closing"},
        {&str_get_write_buffer_size, "get_write_buffer_size"},
        {&str_get_extra_info, "get_extra_info"},
        {&str_socket, "socket"},
        {&str_fileno, "fileno"},
        {&str_outlet, "outlet"},
        {NULL, NULL},
    };
    for (name = names; name->at != NULL; name++) {
        if ((*name->at = PyUnicode_InternFromString(name->text)) == NULL)
            return -1;
    }
    outlet_type = added(module, &outlet_spec);
    writes_type = outlet_type == NULL ? NULL : added(module, &writes_spec);
    PyTypeObject *thread_type = writes_type == NULL ? NULL : added(module, &thread_spec);
    Py_XDECREF(thread_type);
    return thread_type == NULL ? -1 : 0;
}

static PyModuleDef_Slot speedups_slots[] = {
    {Py_mod_exec, speedups_exec},
    {0, NULL},
};

static PyMethodDef speedups_methods[] = {
    {"unmask", (PyCFunction)(void (*)(void))unmask, METH_FASTCALL, "Take the mask off a payload."},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, "Read one whole text frame."},
    {"text_at", (PyCFunction)(void (*)(void))text_at, METH_FASTCALL, "Read the text frame at a place."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef speedups_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forestay.speedups",
    .m_doc = "Functions in C for what Python does slowly.",
    .m_size = 0,
    .m_methods = speedups_methods,
    .m_slots = speedups_slots,
};

PyMODINIT_FUNC
PyInit_speedups(void)
{
    return PyModuleDef_Init(&speedups_module);
}
