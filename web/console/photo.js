const LONGEST_SIDE = 1_600;
const QUALITY = 0.82;

/**
 * Makes a photo ready to be sent: at most 1600 pixels wide and high, and drawn anew. That removes what the camera
 * wrote into the file (place, time, device). Rejects if this browser cannot read the file as a picture.
 */
export async function readyToSend(file) {
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' });
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#fff'; // behind what is transparent
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((made) => canvas.toBlob(made, 'image/jpeg', QUALITY));
  return { blob, width: canvas.width, height: canvas.height };
}
