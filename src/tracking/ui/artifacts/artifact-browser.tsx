import { useState } from "preact/hooks";
import { type ArtifactFile, listArtifacts, nameOf } from "../api.ts";
import { Empty } from "../fields.tsx";
import { bytes } from "../format.ts";
import { useWork } from "../work.ts";
import { ArtifactViewer } from "./artifact-viewer.tsx";

/** Files of a run: a tree, and what is in the chosen one. */
export function ArtifactBrowser({ runId }: { runId: string }) {
  const [chosen, setChosen] = useState<ArtifactFile>();
  return (
    <div class="artifacts">
      <div class="tree">
        <Folder runId={runId} chosen={chosen} onChoose={setChosen} />
      </div>
      <div class="viewer" aria-live="polite">
        {chosen === undefined ? (
          <p class="muted">Choose a file.</p>
        ) : (
          <ArtifactViewer key={chosen.path} runId={runId} file={chosen} />
        )}
      </div>
    </div>
  );
}

interface FolderProps {
  readonly runId: string;
  /** Undefined for the outermost. */
  readonly path?: string;
  readonly chosen: ArtifactFile | undefined;
  onChoose(file: ArtifactFile): void;
}

function Folder({ runId, path, chosen, onChoose }: FolderProps) {
  const [files, setFiles] = useState<readonly ArtifactFile[]>();
  useWork(async () => setFiles(await listArtifacts(runId, path)), [runId, path]);
  if (files === undefined) return null;
  if (files.length === 0 && path === undefined)
    return (
      <Empty title="No artifacts">
        <p>Files that the run logs appear here.</p>
      </Empty>
    );
  return (
    <>
      {files.map((file) =>
        file.is_dir ? (
          <ClosedFolder key={file.path} runId={runId} path={file.path} chosen={chosen} onChoose={onChoose} />
        ) : (
          <button
            type="button"
            key={file.path}
            aria-pressed={file.path === chosen?.path}
            onClick={() => onChoose(file)}
          >
            {nameOf(file.path)} <span class="muted">{bytes(file.file_size)}</span>
          </button>
        ),
      )}
    </>
  );
}

/** A folder is read when it is opened. */
function ClosedFolder(props: FolderProps & { readonly path: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? "▾" : "▸"} {nameOf(props.path)}
      </button>
      {open ? (
        <div class="inside">
          <Folder {...props} />
        </div>
      ) : null}
    </>
  );
}
