// Takes a picture with the camera, in a dialog.
import { byId } from "./view.js";

const view = {
  dialog: byId("camera-dialog"),
  video: byId("camera-video"),
  problem: byId("camera-problem"),
  take: byId("camera-take"),
  cancel: byId("camera-cancel"),
};
let stream;

const reasons = {
  NotAllowedError: "The browser may not use the camera. Allow it for this site and try again.",
  NotFoundError: "There is no camera.",
  NotReadableError: "Another program uses the camera.",
};

function stop() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  view.video.srcObject = null;
}

async function open() {
  view.problem.hidden = true;
  view.take.disabled = true;
  view.dialog.showModal();
  try {
    const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    // Closed while the browser was asking.
    if (!view.dialog.open) {
      for (const track of found.getTracks()) track.stop();
      return;
    }
    stream = found;
    view.video.srcObject = stream;
    view.take.disabled = false;
  } catch (error) {
    view.problem.textContent = reasons[error.name] ?? `The camera can't be used (${error.name}).`;
    view.problem.hidden = false;
  }
}

function picture() {
  const { videoWidth: width, videoHeight: height } = view.video;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(view.video, 0, 0);
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
  });
}

/** Shows the button where the browser lets a page use a camera. */
export function installCamera(button, onPicture) {
  if (!navigator.mediaDevices?.getUserMedia) return;
  button.hidden = false;
  button.addEventListener("click", () => void open());
  view.cancel.addEventListener("click", () => view.dialog.close());
  view.dialog.addEventListener("close", stop);
  view.take.addEventListener("click", async () => {
    if (view.video.videoWidth === 0) return;
    const file = await picture();
    view.dialog.close();
    onPicture(file);
  });
}
