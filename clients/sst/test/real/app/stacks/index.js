import { Function, Job } from "@serverless-stack/resources";

export default function main(app) {
  app.setDefaultFunctionProps({ runtime: "nodejs16.x", srcPath: "services", timeout: 10 });
  app.stack(function Lab({ stack }) {
    new Function(stack, "Saved", { handler: "functions/saved.handler" });
    new Function(stack, "Slow", { handler: "functions/slow.handler", timeout: 60 });
    new Function(stack, "Typed", { handler: "functions/typed.handler", bundle: { copyFiles: [{ from: "words.txt" }] } });
    new Function(stack, "Python", { handler: "functions/app.handler", runtime: "python3.9", srcPath: "python" });
    // The emulator has no CodeBuild, so a job is only built.
    if (!app.local) new Job(stack, "Job", { srcPath: "services", handler: "functions/job.handler" });
  });
}
