// strict: requests as RFC 9112 reads them when nothing is forgiven: a second reader, which shares no line with the daemon's.
//
//	strictly(text) -> { requests: [{ method, target, minor, fields, body, close }], methods, whole }
//
// `text` has a byte in each character. Reading stops at the first thing that is wrong or incomplete (`whole` is false
// then) and behind a request after which the connection is closed. `methods` has also that of a last request which is not among them. What 9112 leaves to the recipient (a repeated length, a bare
// LF, white space before a start line) is wrong here; one empty line before a request is not (2.2).

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TEXT = '[\\t\\x20-\\x7e\\x80-\\xff]*';
const HEAD = new RegExp(`^(?:\\r\\n)?(${TOKEN}) ([\\x21-\\x7e]+) HTTP/1\\.([0-9])\\r\\n((?:${TOKEN}:${TEXT}\\r\\n)*)\\r\\n`);
const CHUNK = new RegExp(`^([0-9A-Fa-f]{1,16})(?:[ \\t]*;${TEXT})?\\r\\n`);
const TRAILERS = new RegExp(`^(?:${TOKEN}:${TEXT}\\r\\n)*\\r\\n`);
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{0,5})?$/;

// [body, length of what it took], or null.
function chunkedBody(text) {
	let body = '', at = 0;
	for (;;) {
		const line = CHUNK.exec(text.slice(at));
		if (!line)
			return null;
		at += line[0].length;
		const size = parseInt(line[1], 16);
		if (size === 0) {
			const trailers = TRAILERS.exec(text.slice(at));
			return trailers && [body, at + trailers[0].length];
		}
		if (text.slice(at + size, at + size + 2) !== '\r\n')
			return null;
		body += text.slice(at, at + size);
		at += size + 2;
	}
}

function bodyOf(fields, minor, text) {
	const all = (name) => fields.filter(([n]) => n === name).map(([, value]) => value);
	const [lengths, codings] = [all('content-length'), all('transfer-encoding')];
	if (codings.length > 0) {
		const chunked = codings.length === 1 && codings[0].toLowerCase() === 'chunked' && lengths.length === 0 && minor > 0;
		return chunked ? chunkedBody(text) : null;
	}
	if (lengths.length === 0)
		return ['', 0];
	if (lengths.length > 1 || !/^[0-9]+$/.test(lengths[0]) || BigInt(lengths[0]) > BigInt(text.length))
		return null;
	const n = Number(lengths[0]);
	return [text.slice(0, n), n];
}

export function strictly(text) {
	const requests = [], methods = [];
	while (text.length > 0) {
		const head = HEAD.exec(text);
		if (!head)
			return { requests, methods, whole: false };
		const [, method, target] = head, minor = Number(head[3]);
		methods.push(method);
		const fields = head[4].split('\r\n').slice(0, -1).map((line) => {
			const colon = line.indexOf(':');
			return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
		});
		const hosts = fields.filter(([name]) => name === 'host');
		if (hosts.length > 1 || (hosts.length === 0 && minor > 0) || hosts.some(([, value]) => !HOST.test(value)))
			return { requests, methods, whole: false };
		text = text.slice(head[0].length);
		const read = bodyOf(fields, minor, text);
		if (!read)
			return { requests, methods, whole: false };
		text = text.slice(read[1]);
		const options = fields.filter(([name]) => name === 'connection').flatMap(([, value]) => value.toLowerCase().split(/[ \t]*,[ \t]*/));
		const close = options.includes('close') || (minor === 0 && !options.includes('keep-alive'));
		requests.push({ method, target, minor, fields, body: read[0], close });
		if (close)
			break;
	}
	return { requests, methods, whole: true };
}
