// conf: a libconfig text from a JavaScript object: objects are groups, arrays are lists.

export function confText(object, depth = 0) {
	const indent = '\t'.repeat(depth);
	return Object.entries(object)
		.filter(([, value]) => value !== undefined)
		.map(([name, value]) => `${indent}${name} = ${confValue(value, depth)};\n`)
		.join('');
}

function confValue(value, depth) {
	const indent = '\t'.repeat(depth);
	if (Array.isArray(value))
		return value.length ? `( ${value.map((v) => confValue(v, depth)).join(', ')} )` : '( )';
	if (value !== null && typeof value === 'object')
		return `{\n${confText(value, depth + 1)}${indent}}`;
	if (typeof value === 'string')
		return `"${value.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replace(/\r/g, '\\r')}"`;
	if (typeof value === 'number')
		return Number.isInteger(value) ? `${value}${Math.abs(value) > 0x7fffffff ? 'L' : ''}` : value.toString();
	return String(value);
}
