// The images of a batch, from files, folders and zips: gathered where they are dropped, and stored by the server.
import { ask } from "./api.js";
import { say } from "./say.js";

const AT_ONCE = 3;
const IMAGE = /\.(jpe?g|png|webp|gif|bmp)$/i;
const ZIP = /\.zip$/i;

export class BatchFiles {
  // `tell(text, share)` says how far it is; `reason(error)` puts an error into words.
  constructor({ words, tell, reason }) {
    Object.assign(this, { words, tell, reason });
  }

  // Stores all images among `files`; gives back {images: [{hash, name}], skipped: [{name, reason}]}.
  async store(files) {
    const found = { images: [], skipped: [] };
    for (const zip of files.filter((file) => ZIP.test(file.name))) await this.unzip(zip, found);
    const wanted = files.filter((file) => IMAGE.test(file.name) || file.type.startsWith("image/"));
    await this.keep(wanted.sort((a, b) => pathOf(a).localeCompare(pathOf(b), undefined, { numeric: true })), found);
    return found;
  }

  async unzip(file, { images, skipped }) {
    this.tell(this.words.reading, null);
    try {
      const found = await ask("/api/zip", { method: "POST", body: file });
      images.push(...found.images);
      skipped.push(...found.skipped);
    } catch (error) {
      skipped.push({ name: file.name, reason: this.reason(error) });
    }
  }

  // A few at a time, in their order.
  async keep(files, { images, skipped }) {
    const kept = new Array(files.length).fill(null);
    let next = 0;
    let done = 0;
    const worker = async () => {
      while (next < files.length) {
        const index = next++;
        const file = files[index];
        try {
          const { hash } = await ask("/api/images", { method: "POST", body: file });
          kept[index] = { hash, name: pathOf(file) };
        } catch (error) {
          skipped.push({ name: pathOf(file), reason: this.reason(error) });
        }
        done += 1;
        this.tell(say(this.words.keeping, { n: done, total: files.length }), done / files.length);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    images.push(...kept.filter(Boolean));
  }
}

// The files of what was dropped; those of folders, however deep.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files]; // gone once this waits
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  else for (const child of await children(entry)) await walk(child, found);
}

// A folder gives its entries in pieces until a piece is empty.
async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const piece = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!piece.length) return all;
    all.push(...piece);
  }
}

function pathOf(file) {
  return file.webkitRelativePath || file.name;
}
