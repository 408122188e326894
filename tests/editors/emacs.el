;; What a person does in Emacs: saves a file with a fault, sees it at its line, mends it, saves.
;; Its arguments come by the environment; a line for each step goes to the file REPORT.
(require 'flymake)
(setq make-backup-files nil auto-save-default nil create-lockfiles nil
      eglot-sync-connect 120 eglot-connect-timeout 120 eglot-autoshutdown nil
      project-vc-extra-root-markers '("template.yaml"))

(defun test-tell (&rest words)
  (write-region (concat (apply #'format words) "\n") nil (getenv "REPORT") t 'silent))

(defun test-until (what holds)
  (let ((left 2400))
    (while (not (funcall holds))
      (when (= (setq left (1- left)) 0)
        (test-tell "time is up: %s" what)
        (kill-emacs 1))
      (accept-process-output nil 0.05))))

(defun test-write (text)
  (erase-buffer)
  (insert text)
  (let ((inhibit-message t)) (save-buffer))
  ;; With a window and a command loop, saving starts this by itself.
  (flymake-start))

(find-file (getenv "FILE"))
;; eglot-ensure waits for a command loop, which a batch has not.
(run-hooks 'post-command-hook)
(test-until "connection" (lambda () (eglot-current-server)))
(test-tell "attached %s" (plist-get (eglot--server-info (eglot-current-server)) :name))

(let ((good (buffer-string))
      (broken (with-temp-buffer (insert-file-contents (getenv "BROKEN")) (buffer-string))))
  (test-write broken)
  (test-until "a diagnostic" #'flymake-diagnostics)
  (dolist (each (flymake-diagnostics))
    (save-excursion
      (goto-char (flymake-diagnostic-beg each))
      (test-tell "%d:%d %s" (line-number-at-pos) (1+ (current-column))
                 (car (split-string (flymake-diagnostic-text each) "\n")))))
  (test-write good)
  (test-until "no diagnostic" (lambda () (null (flymake-diagnostics))))
  (test-tell "mended"))
(kill-emacs 0)
