/* Functions in C for what Python does slowly. Each has a fallback in Python beside its use, which does the same.
 * The types are in speedups.pyi. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>

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

static PyObject *
whole_text(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
{
    PyObject *text;
    const unsigned char *data, *mask;
    unsigned char *to;
    Py_ssize_t size, most;
    if (given != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "whole_text() takes bytes, and the size of the largest text");
        return NULL;
    }
    most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    size = PyBytes_GET_SIZE(args[0]) - 6;
    if (size < 0 || data[0] != 0x81)
        Py_RETURN_NONE;
    if (data[1] == 0xFE) {
        size -= 2;
        if (size < 126 || ((Py_ssize_t)data[2] << 8 | data[3]) != size)
            Py_RETURN_NONE;
        mask = data + 4;
    } else {
        if (size > 125 || data[1] != (0x80 | size))
            Py_RETURN_NONE;
        mask = data + 2;
    }
    if (size > most)
        Py_RETURN_NONE;
    text = PyBytes_FromStringAndSize(NULL, size);
    if (text == NULL)
        return NULL;
    to = (unsigned char *)PyBytes_AS_STRING(text);
    if (take_mask_off(to, mask + 4, mask, size) & 0x80 && !is_utf8(to, size)) {
        Py_DECREF(text);
        Py_RETURN_NONE;
    }
    return text;
}

/* Writes: one buffer for each of many sockets, sent by a thread that needs no interpreter for it. */

/* The states of an entry. The loop's thread cancels pending ones; the thread that writes takes the others on. */
enum { PENDING, UNDER_WAY, DONE, CANCELLED };

typedef struct {
    int fd;
    atomic_int state;
    const char *data;
    Py_ssize_t size;
    Py_ssize_t sent; /* bytes that the kernel took */
} Entry;

typedef struct {
    PyObject_HEAD
    PyObject *buffers; /* owns what the entries point to */
    Py_ssize_t count;
    Entry *entries;
} Writes;

static PyObject *
writes_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"descriptors", "buffers", NULL};
    PyObject *descriptors, *buffers;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!:Writes", names, &PyList_Type, &descriptors, &PyList_Type, &buffers)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(descriptors);
    if (PyList_GET_SIZE(buffers) != count) {
        PyErr_SetString(PyExc_ValueError, "there must be one buffer for each descriptor");
        return NULL;
    }
    Writes *self = (Writes *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->buffers = PyList_AsTuple(buffers);
    self->entries = PyMem_Calloc((size_t)count + 1, sizeof(Entry));
    if (self->buffers == NULL || self->entries == NULL) {
        Py_DECREF(self);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        Entry *entry = &self->entries[at];
        PyObject *buffer = PyTuple_GET_ITEM(self->buffers, at);
        entry->fd = (int)PyLong_AsLong(PyList_GET_ITEM(descriptors, at));
        if (!PyErr_Occurred() && !PyBytes_CheckExact(buffer)) {
            PyErr_SetString(PyExc_TypeError, "a buffer must be bytes");
        }
        if (PyErr_Occurred()) {
            Py_DECREF(self);
            return NULL;
        }
        entry->data = PyBytes_AS_STRING(buffer);
        entry->size = PyBytes_GET_SIZE(buffer);
        atomic_init(&entry->state, PENDING);
    }
    self->count = count;
    return (PyObject *)self;
}

static void
writes_dealloc(Writes *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(self->entries);
    Py_XDECREF(self->buffers);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
writes_run(Writes *self, PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t at = 0; at < self->count; at++) {
        Entry *entry = &self->entries[at];
        int expected = PENDING;
        if (!atomic_compare_exchange_strong(&entry->state, &expected, UNDER_WAY)) {
            continue;
        }
        ssize_t sent;
        do {
            sent = send(entry->fd, entry->data, (size_t)entry->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        /* The transport writes the rest. It meets the error too, and knows what follows from it. */
        entry->sent = sent < 0 ? 0 : sent;
        atomic_store(&entry->state, DONE);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
writes_cancel(Writes *self, PyObject *arg)
{
    Py_ssize_t at = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    if (at == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (at < 0 || at >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such entry");
        return NULL;
    }
    Entry *entry = &self->entries[at];
    int expected = PENDING;
    if (!atomic_compare_exchange_strong(&entry->state, &expected, CANCELLED)) {
        /* A send that does not wait is under way, so this ends within microseconds. */
        while (atomic_load(&entry->state) == UNDER_WAY) {
            sched_yield();
        }
    }
    return PyLong_FromSsize_t(entry->sent);
}

static PyObject *
writes_unsent(Writes *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *found = PyList_New(0);
    for (Py_ssize_t at = 0; found != NULL && at < self->count; at++) {
        Entry *entry = &self->entries[at];
        if (entry->sent == entry->size) {
            continue;
        }
        PyObject *pair = Py_BuildValue("(nn)", at, entry->sent);
        if (pair == NULL || PyList_Append(found, pair) < 0) {
            Py_CLEAR(found);
        }
        Py_XDECREF(pair);
    }
    return found;
}

static PyMethodDef writes_methods[] = {
    {"run", (PyCFunction)writes_run, METH_NOARGS, NULL},
    {"cancel", (PyCFunction)writes_cancel, METH_O, NULL},
    {"unsent", (PyCFunction)writes_unsent, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writes_slots[] = {
    {Py_tp_new, writes_new},
    {Py_tp_dealloc, writes_dealloc},
    {Py_tp_methods, writes_methods},
    {0, NULL},
};

static PyType_Spec writes_spec = {
    .name = "forestay.speedups.Writes",
    .basicsize = sizeof(Writes),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writes_slots,
};

static int
speedups_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &writes_spec, NULL);
    int failed = type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot speedups_slots[] = {
    {Py_mod_exec, speedups_exec},
    {0, NULL},
};

static PyMethodDef speedups_methods[] = {
    {"unmask", (PyCFunction)(void (*)(void))unmask, METH_FASTCALL, "Take the mask off a payload."},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, "Read one whole text frame."},
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
